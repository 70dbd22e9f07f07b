"""Exact sweeps: every point of a grid of thresholds, on every trace, and what follows from all of them.

`grid` says which points; `tasks` cuts them into pieces of work; `boxes` holds what came out, merged into
ranges of thresholds that behave alike; `front` compares all points exactly; `plateau` says how far a
threshold can move before anything changes; `folder` keeps it all; `result` is what a user holds; `run` puts
them together.
"""
