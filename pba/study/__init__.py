"""Studies and sweeps: what to search and for what aim, the search itself, the decision that follows from it.

Modules import those above them in this list, never below:

- `aims`: the figures that a study can aim at; `definition`: the file that a user writes; `space`: the points
  that it
  means, the plain alternatives among them; `objective`: what is kept of a replay, and what recordings come
  to;
- `search`: asks Optuna; `factors`: how far thresholds are from each other;
- `folder`: the folder of a run or a sweep: lock, record, how to go on, one hash of what shapes figures;
- `workers`: threads, and what their machines take; `executors`, `cluster`: threads and Dask's workers alike;
- `inputs`: traces on their machines, groups, versions; `replays`: those made before, on disk; `evaluate`: replays
  points on them;
- `sweep/`: every point of a grid; `decision/`: one answer from all that is known;
- `journal`: Optuna's storage in a run's folder; `mirror`: a copy in a database;
- `result`: a run as its folder holds it (`Run`); `exact`: the sweep of a study;
- `session`: a study at work; `tune`: from its file to its finished folder; `batch`: several, one after the other.
"""
