"""Optuna's storage in a run's folder: a journal file that holds a finished trial per point.

The search itself asks in memory (`pba.study.search`) and writes a generation here once it is evaluated, so
a trial is never half-done, its number is the point's, and any Optuna tool can read the file. Appending 16
trials takes some milliseconds; a journal rather than SQLite, so that several processes may share it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.files import output_error
from pba.study.aims import Aim
from pba.study.definition import THRESHOLD_NAMES, StudyDefinition
from pba.study.folder import Folder
from pba.study.search import Tried, quiet, whole_point
from pba.study.space import Point

if TYPE_CHECKING:
    import optuna

    from pba.study.result import Run

JOURNAL_FILE: Final = "optuna.journal"
"""Its name in a run's folder."""
ENOUGH_TRIALS: Final = 50
"""With fewer trials a tenth of them says nothing."""
_METRIC_NAMES: Final = "study:metric_names"
"""Under what Optuna keeps the names of a study's aims (a test holds it)."""


class Journal:
    """The journal of one run. Only one process may have it open (see `pba.study.folder.Folder.held`)."""

    def __init__(self, place: Folder, definition: StudyDefinition) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        quiet()
        self.path = place.path / JOURNAL_FILE
        self.definition = definition
        _repair(self.path)
        try:
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.path)))
            self._study = named_study(storage, definition)
            self.tried = [_tried(trial) for trial in self._study.get_trials(deepcopy=False)]
        except OSError as error:
            raise output_error(self.path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError, LookupError) as error:
            # What Optuna raises on a journal that is not one depends on where it stumbles.
            raise place.damaged(JOURNAL_FILE, f"Optuna cannot read it ({type(error).__name__})") from error

    def importance(self) -> dict[str, dict[str, float]]:
        """Return which thresholds decide whether a point is among the best; see `importance_in`."""
        return importance_in(self._study, self.definition.aims)

    def append(self, generation: Sequence[Tried], attributes: Sequence[Mapping[str, Any]]) -> None:
        """Store the points of a generation that are not stored yet, each with what a dashboard may show of it."""
        for tried, shown in zip(generation, attributes, strict=True):
            try:
                self._study.add_trial(stored_trial(self.definition, tried, shown))
            except OSError as error:
                # What was cut short is taken back when the journal is next opened; the figures are stored.
                raise output_error(self.path, error) from error
            self.tried.append(tried)


def importance_in(study: optuna.Study, aims: Sequence[Aim]) -> dict[str, dict[str, float]]:
    """Return how much each threshold decides whether a tried point is among the best tenth in an aim.

    By PED-ANOVA (Watanabe et al., 2023), as Optuna has it: a cross-check of what the exact grid says.
    """
    import optuna

    quiet()
    if len(study.get_trials(deepcopy=False)) < ENOUGH_TRIALS:
        return {}
    found = {}
    for at, aim in enumerate(aims):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is new, and warns that it looks at low values: so do we
            shares = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=lambda trial, at=at, sign=aim.sign: sign * trial.values[at],  # type: ignore[misc]
            )
        found[aim.name] = {name: float(shares[name]) for name in THRESHOLD_NAMES}
    return found


def named_study(
    storage: optuna.storages.BaseStorage, definition: StudyDefinition, name: str = ""
) -> optuna.Study:
    """Return a study of a storage, made if it is not there; its aims have names and directions."""
    import optuna

    study = optuna.create_study(
        study_name=name or definition.name, directions=[aim.direction for aim in definition.aims],
        storage=storage, load_if_exists=True,
    )  # fmt: skip
    names = [aim.name for aim in definition.aims]
    if study.metric_names != names:
        # `Study.set_metric_names` without its warning, which can only be silenced for all threads at once.
        storage.set_study_system_attr(study._study_id, _METRIC_NAMES, names)
    return study


def attributes_of(
    definition: StudyDefinition, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a point's figures on every recording, as trials keep them."""
    return {
        f"{aim.name} per recording": {
            name: float(row[aim.name]) for name, row in zip(names, rows, strict=True)
        }
        for aim in definition.aims
    }


def stored_trial(
    definition: StudyDefinition, tried: Tried, attributes: Mapping[str, Any]
) -> optuna.trial.FrozenTrial:
    """Return a tried point as a finished trial, for people and their tools.

    A point outside of the space is shown at the nearest one inside, so that all trials have one space; its
    own thresholds stand in the attribute `point`, as every trial's.
    """
    import optuna

    shown = whole_point(definition, tried.point._asdict())
    return optuna.trial.create_trial(
        params=shown._asdict(),
        distributions=_distributions(definition),
        values=list(tried.values),
        system_attrs=dict(tried.notes),
        user_attrs={"point": list(tried.point), **attributes},
        constraints=tried.violations or None,
    )


def study_in_memory(run: Run) -> optuna.Study:
    """Return a run's search as an Optuna study in memory; see `Run.optuna_study`."""
    import optuna

    quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(study_name=run.study.name, directions=[aim.direction for aim in run.aims])
        study.set_metric_names([aim.name for aim in run.aims])
    decision = run.decision
    searched = run.points[run.points["searched"]]
    for number, row in zip(searched.index.tolist(), searched.to_dict("records"), strict=True):
        point = Point(*(int(row[name]) for name in THRESHOLD_NAMES))
        own = run.per_trace.loc[number]
        shown = attributes_of(run.study, [str(name) for name in own.index], own.to_dict("records"))
        shown["on the front"] = bool(row["on_front"])
        if decision is not None:
            shown["recommended"] = point == decision.recommended
        violations = {
            name: limit.violation(float(row[name]))
            for name, limit in run.study.constraints.items()
            if name in row
        }
        values = tuple(float(row[aim.name]) for aim in run.aims)
        study.add_trial(stored_trial(run.study, Tried(point, values, {}, violations), shown))
    return study


def _tried(trial: optuna.trial.FrozenTrial) -> Tried:
    """Return a stored trial as a tried point."""
    notes = {key: value for key, value in trial.system_attrs.items() if not key.startswith("constraints")}
    point = Point(*(int(value) for value in trial.user_attrs["point"]))
    return Tried(point, tuple(trial.values), notes, dict(trial.constraints or {}))


def _distributions(definition: StudyDefinition) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the space in whole numbers."""
    import optuna

    return {
        name: optuna.distributions.IntDistribution(item.low, item.high, log=item.log)
        for name, item in ((name, definition.space[name]) for name in THRESHOLD_NAMES)
    }


def _repair(path: Path) -> None:
    """Take back what a killed process left behind: its lock, and a last line without an end."""
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
