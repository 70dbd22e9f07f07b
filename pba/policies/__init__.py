"""Every way to protect page tables, counted alike: the patch, its variants of one rule, and its rivals.

A policy is a file here that says what the kernel would do otherwise: functions that stand in for some of
`pba.kernel` (`pba._jit.rebound`), parameters with their ranges, and a paragraph. `registry.py` names them all.
"""
