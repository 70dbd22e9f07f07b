"""Optuna's storage in a run's folder: a journal file that holds a finished trial per point.

The search itself asks in memory (`pba.study.search`) and writes a generation here once it is evaluated, so
a trial is never half-done, its number is the point's, and any Optuna tool can read the file. Appending 16
trials takes some milliseconds; a journal rather than SQLite, so that several processes may share it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pba.files import output_error
from pba.study.definition import THRESHOLD_NAMES, StudyDefinition
from pba.study.folder import Folder
from pba.study.objective import AIMS
from pba.study.result import JOURNAL_FILE
from pba.study.search import Tried, quiet
from pba.study.space import Point

if TYPE_CHECKING:
    import optuna


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
            self._study = optuna.create_study(
                study_name=definition.name,
                directions=["minimize", "minimize"],
                storage=storage,
                load_if_exists=True,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(list(AIMS))
            self.tried = [_tried(trial) for trial in self._study.get_trials(deepcopy=False)]
        except OSError as error:
            raise output_error(self.path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError, LookupError) as error:
            # What Optuna raises on a journal that is not one depends on where it stumbles.
            raise place.damaged(JOURNAL_FILE, f"Optuna cannot read it ({type(error).__name__})") from error

    def append(self, generation: Sequence[Tried]) -> None:
        """Store the points of a generation that are not stored yet."""
        import optuna

        for tried in generation:
            trial = optuna.trial.create_trial(
                params=tried.point._asdict(),
                distributions=_distributions(self.definition, tried.point),
                values=list(tried.values),
                system_attrs=tried.notes,
            )
            try:
                self._study.add_trial(trial)
            except OSError as error:
                # What was cut short is taken back when the journal is next opened; the figures are stored.
                raise output_error(self.path, error) from error
            self.tried.append(tried)


def _tried(trial: optuna.trial.FrozenTrial) -> Tried:
    """Return a stored trial as a tried point."""
    point = Point(*(trial.params[name] for name in THRESHOLD_NAMES))
    first, second = trial.values
    return Tried(point, (first, second), dict(trial.system_attrs))


def _distributions(
    definition: StudyDefinition, point: Point
) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the space in whole numbers; where the patch's point lies outside, with a range of its own."""
    import optuna

    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, value in point._asdict().items():
        item = definition.space[name]
        low, high = min(item.low, value), max(item.high, value)
        found[name] = optuna.distributions.IntDistribution(low, high, log=item.log and low > 0)
    return found


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
