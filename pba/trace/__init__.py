"""Traces: what happened on a machine, as tables; where they come from, and how far they can be trusted.

Read `table.py` first (what a trace is), then `read.py` (the forms it is read from) and `record.py` (how this
machine is recorded). `assemble.py` makes a trace of raw events, whatever they were read from.
"""
