"""A study's trials, copied into an Optuna database while it runs: a team sees many studies in one dashboard.

The run's own journal is the truth, and no figure is ever read from the mirror. A thread of its own writes it:
a database that is slow, hangs or dies costs the run nothing but a line. What is missing there the next run of
the same study fills in, also if the study is done. A point's number is its trial's: none is there twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pba.errors import StudyError, option
from pba.printable import printable
from pba.progress import Progress
from pba.study.definition import StudyDefinition
from pba.study.journal import named_study, stored_trial
from pba.study.search import Tried, quiet
from pba.units import number

if TYPE_CHECKING:
    import optuna

RUN_ATTRIBUTE: Final = "pba: hash of study, seed, recordings and model"
"""Tells whose a study in the database is: two people may each have a `quickstart`."""
CONNECT_S: Final = 5
"""How long the database may take to take a connection."""
PATIENCE_S: Final = 15.0
"""How long the run waits at its end for a database that stores nothing any more."""

_LIBPQ: Final = {
    "connect_timeout": CONNECT_S, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}  # fmt: skip
_CONNECT: Final[dict[str, dict[str, int]]] = {
    "psycopg": _LIBPQ, "psycopg2": _LIBPQ, "pysqlite": {"timeout": CONNECT_S},
    "pymysql": {"connect_timeout": CONNECT_S}, "mysqldb": {"connect_timeout": CONNECT_S},
}  # fmt: skip
"""What each driver is told, so that nothing waits for ever."""


class Storage:
    """A database by its URL, with a name that may be shown.

    Parameters
    ----------
    url : str
        As SQLAlchemy has it: `postgresql+psycopg://user@host/database`, `sqlite:///file.db`.

    Raises
    ------
    StudyError
        If it is none, or its driver is not installed. No message has a password in it.
    """

    def __init__(self, url: str) -> None:
        import sqlalchemy

        try:
            self._url = sqlalchemy.engine.make_url(url)
            dialect = self._url.get_dialect()
        except sqlalchemy.exc.NoSuchModuleError as error:
            raise _no_url(f"of a kind that is not known ({printable(url.split(':')[0], 40)})") from error
        except (sqlalchemy.exc.ArgumentError, ValueError) as error:
            raise _no_url("no database's URL") from error
        if not self._url.database:
            raise _no_url("without a database")
        try:
            dialect.import_dbapi()
        except ImportError as error:
            raise StudyError(
                f"{option('storage')} needs a driver that is not installed: {error}",
                "pip install 'pba[postgres]', and begin the URL with postgresql+psycopg://",
            ) from error
        self.driver = dialect.driver

    def __str__(self) -> str:
        """Return kind, host and database: no user, no password, no options."""
        at = f"{self._url.host}:{self._url.port}" if self._url.port else self._url.host or ""
        return printable(f"{self._url.get_backend_name()}://{at}/{self._url.database}", 200)

    def open(self) -> optuna.storages.RDBStorage:
        """Return Optuna's storage there, its tables made if they are not there yet."""
        import optuna

        told = {
            key: value for key, value in _CONNECT.get(self.driver, {}).items() if key not in self._url.query
        }
        return optuna.storages.RDBStorage(
            self._url.render_as_string(hide_password=False), engine_kwargs={"connect_args": told}
        )

    def reason(self, error: BaseException) -> str:
        """Return what went wrong, on one line, without passwords."""
        while error.__cause__ is not None:  # Optuna's and SQLAlchemy's wrap the driver's own
            error = error.__cause__
        text = " ".join(str(error).split()) or type(error).__name__
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return printable(text, 200)

    def _secrets(self) -> list[str]:
        found = [str(self._url.password)] if self._url.password else []
        for value in self._url.query.values():
            found += [value] if isinstance(value, str) else list(value)
        return [secret for secret in found if secret]


def _no_url(what: str) -> StudyError:
    return StudyError(
        f"{option('storage')}: the URL is {what}",
        "use postgresql+psycopg://user@host/database, or sqlite:///file.db",
    )


def identity_of(record: Mapping[str, Any]) -> str:
    """Return a hash of all that shapes a study's points: file, changes of it, aims, seed, recordings, model."""
    traces = [[row["trace"], row["sha256"], row["machine"]] for row in record["traces"]]
    said = [record[name] for name in ("study_sha256", "changes", "aims", "seed")]
    shaping = [*said, traces, record["versions"]["model"]]
    return hashlib.sha256(json.dumps(shaping).encode("utf-8", "backslashreplace")).hexdigest()


class Mirror:
    """Copies finished trials in a thread of its own.

    Parameters
    ----------
    storage : Storage
        Where to.
    definition : StudyDefinition
        The study.
    record : mapping
        The run's record (`run.json`).
    progress : Progress
        Who is told, once, that the mirror has failed.
    """

    def __init__(
        self, storage: Storage, definition: StudyDefinition, record: Mapping[str, Any], progress: Progress
    ) -> None:
        self._storage, self._definition, self._progress = storage, definition, progress
        self._identity = identity_of(record)
        self._traces = [row["trace"] for row in record["traces"]]
        self._waiting: SimpleQueue[tuple[int, optuna.trial.FrozenTrial] | None] = SimpleQueue()
        self._alive = time.monotonic()
        self._done = self._given = 0
        self._trouble = ""
        self._told = False
        quiet()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        if error is None:
            self._finish()

    def add(self, first: int, tried: Sequence[Tried], attributes: Sequence[Mapping[str, Any]]) -> None:
        """Take finished points, the first of them by its number, with what their trials keep."""
        self._tell()
        for at, (one, shown) in enumerate(zip(tried, attributes, strict=True), start=first):
            trial = stored_trial(self._definition, one._replace(notes={}), shown)
            self._waiting.put((at, trial))
            self._given += 1

    def _finish(self) -> None:
        """Wait until all is stored, or the database stores nothing any more."""
        self._progress.stage("writing the mirror", self._given, "trials", self._done)
        self._alive = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - self._alive < PATIENCE_S:
            self._thread.join(0.1)
            self._progress.advance(self._done)
        if self._thread.is_alive():
            self._trouble = self._trouble or f"no answer for {PATIENCE_S:.0f} s"
        self._tell()

    def _tell(self) -> None:
        if self._trouble and not self._told:
            self._told = True
            self._progress.say(
                f"the mirror {self._storage} failed, and the run goes on without it: {self._trouble} (the "
                "same command fills in what is missing there)"
            )

    def _work(self) -> None:
        """Store what comes, in order; end at the first failure."""
        try:
            study = self._open()
            there = study.get_trials(deepcopy=False)
            while (item := self._waiting.get()) is not None:
                at, trial = item
                if at >= len(there):
                    study.add_trial(trial)
                elif there[at].user_attrs.get("point") != trial.user_attrs["point"]:
                    raise ValueError(f"its trial {at} is not the run's")
                self._done, self._alive = self._done + 1, time.monotonic()
        except Exception as error:
            self._trouble = self._storage.reason(error)

    def _open(self) -> optuna.Study:
        """Return this study in the database: found by its hash, or new, with a name that is free."""
        storage, name = self._storage.open(), self._definition.name
        for candidate in (name, f"{name}-{self._identity[:8]}"):
            study = named_study(storage, self._definition, candidate)
            whose = study.user_attrs.get(RUN_ATTRIBUTE)
            if whose is None and not study.get_trials(deepcopy=False):
                study.set_user_attr(RUN_ATTRIBUTE, self._identity)
                study.set_user_attr("question", self._definition.description)
                study.set_user_attr("recordings", f"{number(len(self._traces))}: {', '.join(self._traces)}")
                return study
            if whose == self._identity:
                return study
        raise ValueError(f"the name {name!r} is another study's there")
