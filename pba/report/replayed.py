"""The patch's thresholds and the recommended ones, replayed over time: why it works, where splits come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.errors import PbaError
from pba.probe.splits import CAUSE_WORDS, Splits, splits
from pba.report.data import LETTERS, point
from pba.report.document import NUMBER, Column, Section, Table
from pba.report.origins_figures import splits_picture
from pba.report.replay_figures import watch_picture
from pba.report.words import listing
from pba.study.decision.decision import PATCH, RECOMMENDED
from pba.study.definition import THRESHOLD_NAMES
from pba.study.folder import sha256_of
from pba.study.space import Point
from pba.units import number, plural

if TYPE_CHECKING:
    from pba.machine import Machine
    from pba.report.style import Picture
    from pba.study.result import Run

MOST_EVENTS: Final = 20_000_000
"""Events that are replayed in all, a few seconds: of longer traces only the one that is shown."""
MOST_ROWS: Final = 40
"""Splits that the report lists for each thresholds; the figure's table has all of them."""


@dataclass(frozen=True)
class Replayed:
    """Replays over time of the recordings that have splits.

    Attributes
    ----------
    splits : dict
        By recording: what splits there are with the patch's thresholds, and with the recommended ones (by "patch" and
        "recommended"; the first alone where both are the same).
    shown : str
        The recording on which the change shows best; empty where none was replayed.
    left_out : tuple of str
        Recordings with splits that were not replayed,
    why : str
        and why.
    """

    splits: dict[str, dict[str, Splits]]
    shown: str
    left_out: tuple[str, ...] = ()
    why: str = ""

    @property
    def named(self) -> dict[str, Splits]:
        """The replays of the recording that is shown."""
        return self.splits[self.shown]

    def pictures(self) -> list[Picture]:
        """Draw the recording that is shown."""
        if not self.shown:
            return []
        patch, best = self.named[PATCH], self.named.get(RECOMMENDED)
        if best is None:
            over_time = watch_picture(patch.watch, called=PATCH)
        else:
            over_time = watch_picture(best.watch, patch.watch, called=RECOMMENDED)
        return [over_time, splits_picture(self.named)]


def replayed(run: Run) -> Replayed:
    """Replay the recordings of a finished run that have splits, with the patch's thresholds and the recommended ones.

    What lies no longer where the run found it, or holds something else now, is left out.
    """
    if run.decision is None:
        return Replayed({}, "")
    wanted = _wanted(run)
    found: dict[str, dict[str, Splits]] = {}
    left_out: dict[str, str] = {}
    events = 0
    for row in wanted:
        name, path = str(row["trace"]), Path(str(row["path"]))
        if found and events + int(row["events"]) > MOST_EVENTS:
            left_out[name] = "more than 20 million events in all"
            continue
        try:
            if sha256_of(path.read_bytes()) != row["sha256"]:
                left_out[name] = "the file holds something else now"
                continue
            own = _splits_of(run, row, path)
            if not _are_the_runs(run, name, own):
                left_out[name] = (
                    "the run's memory does not start free, or its pressure is not the recording's"
                )
                continue
            found[name] = own
            events += int(row["events"])
        except (OSError, PbaError):
            left_out[name] = "the file is not where it was"
    why = listing(sorted(set(left_out.values())))
    return Replayed(found, next(iter(found), ""), tuple(left_out), why)


def _wanted(run: Run) -> list[dict[Any, Any]]:
    """Return the rows of the recordings that have splits, the one on which the change shows best first."""
    counts = [
        run.per_trace.loc[at]["pmd_splits"].reindex(run.traces["trace"]).to_numpy()
        for at in (run.patch, run.recommended)
    ]
    rows = run.traces.to_dict("records")
    order = sorted(range(len(rows)), key=lambda at: (-(counts[0][at] - counts[1][at]), -counts[0][at], at))
    return [rows[at] for at in order if counts[0][at] or counts[1][at]]


def _splits_of(run: Run, row: Mapping[Any, Any], path: Path) -> dict[str, Splits]:
    from pba.imports.read import read_trace
    from pba.machine import Machine

    trace = read_trace(path)
    machine = Machine(int(row["page_size_kib"]), int(row["memory_pages"]), str(row["linear_map"]))
    points = {PATCH: _point(run, run.patch), RECOMMENDED: _point(run, run.recommended)}
    if run.patch == run.recommended:
        del points[RECOMMENDED]
    return {name: splits(trace, at.on(machine), machine) for name, at in points.items()}


def _are_the_runs(run: Run, name: str, own: Mapping[str, Splits]) -> bool:
    """Whether replays have the very splits that the run has of a recording."""
    numbers = {PATCH: run.patch, RECOMMENDED: run.recommended}
    return all(
        len(one.table) == int(run.per_trace.loc[numbers[role]]["pmd_splits"].to_dict()[name])
        for role, one in own.items()
    )


def _point(run: Run, number: int) -> Point:
    row = point(run, number)
    return Point(*(int(row[name]) for name in THRESHOLD_NAMES))


# --- in words ---


def mechanism_section(run: Run, found: Replayed) -> tuple[Section, ...]:
    """Say in two sentences why it works, with the recording on which it shows best."""
    if run.decision is None:
        return ()
    text = [
        told for told in (_what_m_spares(run, found), _what_each_brings(run), _not_replayed(found)) if told
    ]
    if not text:
        return ()
    figure = "watch" if found.shown else ""
    if figure:
        text.append(
            f"Below: {found.shown}, where the number of splits changes most. Cached pages over time, a triangle where "
            "PMD leaves are split; beneath them the allocator's blocks by how much of them is in use."
        )
    return (Section("mechanism", "Why it works", tuple(text), figure=figure),)


def _what_m_spares(run: Run, found: Replayed) -> str:
    """Say what the patch's splits come from, and how many of them the recommended M rules out."""
    total = by_block = spared = 0
    shares: list[float] = []
    for named in found.splits.values():
        one = named[PATCH]
        machine: Machine = one.result.machine
        of_blocks = one.table[one.table["cause"] == "block"]
        least = _point(run, run.recommended).on(machine).shrink_block_min_pages
        total, by_block = total + len(one.table), by_block + len(of_blocks)
        spared += int((of_blocks["free_pages"] < least).sum())
        shares += (of_blocks["free_pages"] / machine.block_nr_pages).tolist()
    if not by_block:
        return ""
    low, high = (f"{100 * end:.0f}" for end in (min(shares), max(shares)))
    text = (
        f"With the patch's thresholds {number(by_block)} of {plural(total, 'split')} "
        f"{'comes' if by_block == 1 else 'come'} from blocks that the shrinker took apart, while {low} to {high} % of "
        "their pages were free"
    )
    if run.patch == run.recommended:
        return f"{text}."
    m = _point(run, run.recommended).shrink_block_min_pages
    return f"{text}; {number(spared)} of them had fewer than the recommended M={number(m)} asks for."


def _what_each_brings(run: Run) -> str:
    """Say what each threshold brings, on average over every order of changing them."""
    decision = run.decision
    if decision is None or not decision.ablation:
        return ""
    told = []
    for row in decision.ablation:
        moved = [f"{value:+,.3g} {aim.title}" for value, aim in zip(row["mean"], run.aims, strict=True)]
        told.append(f"{LETTERS[row['threshold']]} brings {listing(moved)}")
    return f"One threshold at a time, on average over every order: {'; '.join(told)}."


def _not_replayed(found: Replayed) -> str:
    if not found.left_out:
        return ""
    names = (
        listing(list(found.left_out)) if len(found.left_out) < 4 else plural(len(found.left_out), "recording")
    )
    return f"Not replayed over time: {names} ({found.why})."


def origins_section(run: Run, found: Replayed) -> tuple[Section, ...]:
    """Say where splits come from: by cause, and one by one on the recording that is shown."""
    if not found.shown:
        return ()
    roles = list(found.named)
    columns = (Column("split because", left=True, key=True), *(Column(role) for role in roles))
    totals = {
        role: [str(cause) for named in found.splits.values() for cause in named[role].table["cause"]]
        for role in roles
    }
    rows = tuple(
        (words, *(number(totals[role].count(cause)) for role in roles))
        for cause, words in CAUSE_WORDS.items()
        if any(cause in totals[role] for role in roles)
    )
    rows = (*rows, ("all together", *(number(len(totals[role])) for role in roles)))
    text = (
        "A block is taken apart where no block is free as a whole, fewer pages than it has free lie outside of blocks "
        "(and fewer than the scan asks for, at most B), and at least M of its pages are free. Nothing is taken while "
        'no more than U pages are cached. "kept from M" is the least M at which the shrinker would not have chosen '
        "that block at that moment.",
    )
    tables = (Table("By cause, over the recordings", columns, rows, totals=1), *_one_by_one(run, found))
    return (Section("origins", "Where splits come from", text, figure="splits", tables=tables),)


def _one_by_one(run: Run, found: Replayed) -> tuple[Table, ...]:
    """List each split of the recording that is shown."""
    columns = (
        NUMBER, Column("at, s"), Column("block"), Column("because", left=True),
        Column("free in it", group="pages right before"), Column("outside of blocks", group="pages right before"),
        Column("cached", group="pages right before"),
        Column("asked for"), Column("let by", left=True), Column("kept from M"),
    )  # fmt: skip
    tables = []
    for role, one in found.named.items():
        shown = one.table.head(MOST_ROWS)
        limits = one.watch.thresholds
        values = {"M": limits.shrink_block_min_pages, "U": limits.unshrinkable_pages}
        rows = tuple(
            (
                str(at), f"{row['seconds']:.3f}", number(row["block"]), CAUSE_WORDS[row["cause"]],
                number(row["free_pages"]) if row["free_pages"] else "-", number(row["outside_blocks"]),
                number(row["cached"]), number(row["asked"]) if row["asked"] else "-",
                f"{row['let']}={number(values[row['let']])}" if row["let"] else "no block free",
                number(row["kept_from"]) if row["kept_from"] else "-",
            )
            for at, row in enumerate(shown.to_dict("records"), 1)
        )  # fmt: skip
        if rows:
            more = (
                ""
                if len(shown) == len(one.table)
                else f", the first {len(shown)} of {number(len(one.table))}"
            )
            tables.append(Table(f"{found.shown}, {role}: split by split{more}", columns, rows))
    return tuple(tables)
