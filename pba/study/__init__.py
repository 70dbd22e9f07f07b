"""Studies and sweeps: what to search and for what aim, the search itself, the point that follows from it.

Modules import those above them in this list, never below:

- `definition`: the file that a user writes; `space`: the points that it means; `objective`: the two aims;
- `search`: asks Optuna; `recommend`: chooses a point; `flatness`: looks around it;
- `folder`: the folder of a run or a sweep: lock, record, how to go on, one hash of what shapes figures;
- `workers`: threads, and what their machines take;
- `inputs`: traces on their machines, versions; `evaluate`: replays points on them;
- `result`: a run as its folder holds it (`Run`); `journal`: Optuna's storage in it;
- `tune`: puts a study together, from its file to its finished folder;
- `sweep/`: every point of a grid. It uses what stands above `evaluate`, and nothing of a search.
"""
