"""What a study answers: one decision from the exact sweep, the search and the plain alternatives.

Modules import those above them in this list, never below:

- `outcomes`: the figures of many points on every recording, from a sweep or a table;
- `rules`: what is preferred, in a sentence and as a score;
- `region`: all points that lose little, and a round value well inside;
- `statistics`: intervals and tests over recordings; `compare`: points held against each other with them;
- `evidence`: folds, the exact front, importance, ablation, recordings that do not react;
- `decision`: the question and the answer, as a run's folder keeps it;
- `decide`: puts a `Decision` together; `judge`: where a single point lies beside the exact front.
"""
