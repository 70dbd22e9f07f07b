"""Traces that nobody recorded: workloads with parameters, and longer or larger ones like a recording.

Read `lives.py` first (what a workload consists of), then `forks.py` (what one looks like), `play.py` (how a
trace is made of it) and `fitting.py` (how a recording becomes one). The same seed gives the same bytes on
every machine: all draws are of whole numbers, and no function of a machine's libm is called.
"""
