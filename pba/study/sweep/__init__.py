"""Exact sweeps: every point of a grid of thresholds, on every trace, and what follows from all of them.

Modules import those above them in this list, never below:

- `grid`: which points; the patch's own is always among them;
- `boxes`: what came out, merged into ranges of thresholds that behave alike;
- `front`: all points compared exactly; `plateau`: how far a threshold can move before anything changes;
- `case`: a trace on a machine; `tasks`: a sweep cut into pieces of work; `parts`: their results, until all are there;
- `folder`: what is kept; `result`: what a user holds; `run`: runs a sweep.
"""
