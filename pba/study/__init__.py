"""Studies: what to search and for what aim, the search itself, and the point that follows from it.

`definition` reads the file that a user writes; `space` and `objective` say what is searched and what is
measured; `search` asks Optuna; `run` is the folder that a study leaves behind; `recommend` chooses;
`flatness` looks around the choice; `tune` puts them together.
"""
