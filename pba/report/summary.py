"""The report's content: a `Document` made from a run, for all formats alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pba.report.answers import answers, hinges, per_recording
from pba.report.costs import costs_section
from pba.report.data import (
    LETTERS,
    THRESHOLDS,
    front_table,
    point,
    quality_table,
    recordings_table,
    thinned,
    write_value,
)
from pba.report.decided import (
    caveats_section,
    choices_section,
    folds_section,
    machines_section,
    region_section,
    why_section,
)
from pba.report.document import NUMBER, Column, Document, Section, Table
from pba.report.replayed import Replayed, mechanism_section, origins_section
from pba.report.slices import slices_section
from pba.report.words import listing, mib, relative
from pba.study.aims import OVER, Aim
from pba.study.space import distinct_points
from pba.units import fine_percent, format_time, number, plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.study.result import Run

TITLE: Final = "Thresholds of the page-table block allocator's shrinker"
PATCH: Final = '"mm: kpkeys: Add shrinker for block pgtable allocator" (v6 17/30)'
MOST_FRONT_ROWS: Final = 16
"""A longer front is thinned in the report; trials.csv has all of it."""
_NAME = Column("recording", left=True, key=True)


def summarize_run(run: Run, found: Replayed | None = None, lines: pd.DataFrame | None = None) -> Document:
    """Return everything that a report says about a run; with replays over time and lines of its sweep, if there are."""
    replays = found or Replayed({}, "")
    parts: tuple[Callable[[Run], tuple[Section, ...]], ...] = (
        choices_section, _front, caveats_section, machines_section, _recommendation,
        lambda run: mechanism_section(run, replays), costs_section, lambda run: origins_section(run, replays),
        region_section, lambda run: () if lines is None else slices_section(run, lines), _points, folds_section,
        why_section, _recordings, _what_was_run, _limits, _reproduce,
    )  # fmt: skip
    return Document(
        title=run.study.description or TITLE,
        subject=f'{TITLE}. Study "{run.study.name}", on {PATCH}',
        warnings=tuple(_warnings(run)),
        answers=answers(run),
        sections=tuple(section for part in parts for section in part(run)),
    )


def _warnings(run: Run) -> list[str]:
    text = []
    if not run.complete:
        total = distinct_points(run.study)
        text.append(
            f"The run is not complete: {number(run.points.searched.sum())} of {plural(total, 'point')} "
            "were tried, and nothing is decided yet. What follows may change."
        )
    for role, at in (("the patch", run.patch), ("the recommended point", run.recommended)):
        row = point(run, at)
        bad = {"alloc_failures": "failed allocation", "deadlocks": "deadlock", "pages_leaked": "leaked page"}
        found = [plural(row[name], words) for name, words in bad.items() if row.get(name, 0) > 0]
        if found and (role == "the patch" or at != run.patch):
            text.append(
                f"The replays of {role} had {listing(found)}: its figures are not those of a healthy machine."
            )
    return text


def _what_was_run(run: Run) -> tuple[Section, ...]:
    text = [
        f"{PATCH} asks for its thresholds to be tuned. Recorded page-table allocations were replayed "
        "through a simulation of that allocator and its shrinker, once per point and recording."
    ]
    if (run.traces.page_size_kib != 4).any():
        text.append(
            "M and B are given as for 4 KiB pages and scaled with the block (512, 2,048 or 8,192 pages) for "
            "others; U is a number of pages everywhere."
        )
    columns = (Column("", left=True, key=True), Column("", left=True))
    return (Section("run", "What was run", tuple(text), tables=(Table("", columns, _facts(run)),)),)


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    study, traces = run.study, run.traces
    space = "; ".join(
        f"{LETTERS[name]} {number(study.space[name].low)} to {number(study.space[name].high)}"
        f"{' (log)' if study.space[name].log else ''}"
        for name in THRESHOLDS
    )
    machines = traces["machine"].value_counts(sort=False)
    others = ", ".join(f"{name} {version}" for name, version in run.versions.items() if name != "pba")
    passes = plural(traces.passes.sum(), "shrinker pass", "shrinker passes")
    length = format_time(traces.duration_ns.sum())
    length = f"{length} from first to last event, {number(traces.events.sum())} events, {passes}"
    return (
        ("pba", f"{run.versions.get('pba', 'unknown')} ({others})"),
        ("study", f"{study.name}: {study.description}" if study.description else study.name),
        ("points", _how_many(run)),
        ("search", f"Optuna, sampler {study.sampler}, random seed {study.seed}"),
        ("space", f"{space}; pages"),
        (
            "aims",
            "; ".join(f"{aim.title} ({_towards(aim)}, {OVER[aim.over]}): {aim.text}" for aim in run.aims),
        ),
        ("rule", run.rule),
        ("grid", run.decision.grid if run.decision and run.decision.grid else "none was swept"),
        ("recordings", f"{number(len(traces))}: {length}"),
        ("machines", "; ".join(f"{name} ({plural(n, 'recording')})" for name, n in machines.items())),
    )


def _towards(aim: Aim) -> str:
    return "less is better" if aim.sign > 0 else "more is better"


def _how_many(run: Run) -> str:
    """Say how many points were tried, of how many that were asked for or that there are."""
    total = distinct_points(run.study)
    asked = f"; the study asks for {number(run.study.points)}, the space has no more"
    text = f"{number(run.points.searched.sum())} of {number(total)}, the plain alternatives among them"
    return text + (asked if total < run.study.points else "")


def _recordings(run: Run) -> tuple[Section, ...]:
    rows = quality_table(run).to_dict("records")
    flagged = [f"{row['trace']}: {row['imperfect']}." for row in rows if row["imperfect"]]
    text = (
        "A pass is one visit of the shrinker under memory pressure. Recall and precision hold the "
        "recording's live page tables against /proc/kpageflags at its end; a dash stands where that was not "
        "read, and where the page tables that were live before it are not known.",
        "Imperfect data, to be read with care:"
        if flagged
        else "No recording falls short of what is checked here.",
    )
    title = "Recordings and how far to trust them"
    tables = (_contents_table(rows), _trust_table(rows))
    return (Section("recordings", title, text, tuple(flagged), tables=tables),)


def _contents_table(rows: list[dict[Hashable, Any]]) -> Table:
    columns = (
        NUMBER, _NAME, Column("recorded on", left=True), Column("simulated machine", left=True),
        Column("first to last", group="events"), Column("number", group="events"),
        Column("passes"), Column("sha256", left=True),
    )  # fmt: skip
    cells = tuple(
        (
            str(place), str(row["trace"]), _words(row["kernel"], row["architecture"]), _machine(row),
            format_time(row["duration_ns"]), number(row["events"]), number(row["passes"]),
            str(row["sha256"])[:12],
        )
        for place, row in enumerate(rows, 1)
    )  # fmt: skip
    return Table("Recordings", columns, cells)


def _trust_table(rows: list[dict[Hashable, Any]]) -> Table:
    columns = (
        NUMBER, _NAME, Column("lost events", group="quality"), Column("unknown frees", group="quality"),
        Column("inferred frees", group="quality"), Column("live at start", group="quality"),
        Column("recall", group="truth"), Column("precision", group="truth"),
    )  # fmt: skip
    cells = tuple(
        (
            str(place), str(row["trace"]), number(row["lost_events"]), number(row["unknown_frees"]),
            number(row["inferred_frees"]), number(row["live_at_start"]), fine_percent(row["recall"]),
            fine_percent(row["precision"]),
        )
        for place, row in enumerate(rows, 1)
    )  # fmt: skip
    return Table("Their quality", columns, cells)


def _machine(row: dict[Hashable, Any]) -> str:
    memory = mib(row["memory_pages"] * row["page_size_kib"] / 1024)
    return f"{memory}, {row['page_size_kib']} KiB pages, {row['linear_map']}"


def _words(*words: object) -> str:
    return " ".join(str(word) for word in words if word) or "unknown"


def _recommendation(run: Run) -> tuple[Section, ...]:
    text = [per_recording(run), *hinges(run), *_shrinker(run)]
    title = "Recommendation, recording by recording"
    tables = (_comparison(run), *_apart(run))
    return (Section("recommendation", title, tuple(text), figure="recordings", tables=tables),)


def _apart(run: Run) -> tuple[Table, ...]:
    """Show the recordings on which no threshold changes anything, with the reason."""
    rows = recordings_table(run)
    rows = rows[rows["silent"] != ""]
    if rows.empty:
        return ()
    columns = (_NAME, *(Column(aim.title) for aim in run.aims), Column("why", left=True))
    cells = tuple(
        (
            str(row["trace"]), *(write_value(aim, row[f"patch_{aim.name}"]) for aim in run.aims),
            str(row["silent"]),
        )
        for row in rows.to_dict("records")
    )  # fmt: skip
    return (Table("Recordings that do not react: the same whatever the thresholds", columns, cells),)


def _shrinker(run: Run) -> list[str]:
    """Say what the shrinker did, with the patch's thresholds and with the recommended ones."""
    names = ("whole_blocks_released", "blocks_split_by_shrinker", "nonblock_scans", "pages_released")
    if not set(names) <= set(run.per_trace.columns):
        return []
    both = []
    for role, at in (("the patch's", run.patch), ("the recommended", run.recommended)):
        whole, split, loose, pages = (int(run.per_trace.loc[at][name].sum()) for name in names)
        both.append(
            f"with {role} thresholds it released {plural(whole, 'block')} whole, {plural(split, 'block')} "
            f"in part and took pages outside of blocks {plural(loose, 'time')}, {plural(pages, 'page')} "
            "in all"
        )
        if run.patch == run.recommended:
            break
    return [f"What the shrinker did: {'; '.join(both)}."]


def _comparison(run: Run) -> Table:
    table, patch, best = recordings_table(run), point(run, run.patch), point(run, run.recommended)
    if (table["silent"] == "").any():
        table = table[table["silent"] == ""]
    groups: list[tuple[str, str, Callable[[float], str]]] = [
        (aim.name, aim.title, partial(write_value, aim)) for aim in run.aims
    ]
    known = [name for name, _, _ in groups]
    for name, heading in (("mean_cached_mib", "mean cached, MiB"), ("peak_cached_mib", "peak cached, MiB")):
        if name not in known:
            groups.append((name, heading, _mib))
    columns = [NUMBER, _NAME]
    for _, title, _ in groups:
        columns += [Column(head, group=title) for head in ("patch", "recomm.", "change")]
    # Of one recording, pages and MiB change by the same share: said once, so that the table fits a page.
    if "mean_cached_mib" not in known:
        del columns[columns.index(Column("change", group="mean cached, MiB"))]

    def cells(before: Any, after: Any) -> list[str]:
        row = []
        for aim, _, write in groups:
            row += [write(before[aim]), write(after[aim])]
            row += [relative(before[aim], after[aim])] if aim != "mean_cached_mib" or aim in known else []
        return row

    rows = []
    for place, row in enumerate(table.to_dict("records"), 1):
        before, after = (
            {aim: row[f"{role}_{aim}"] for aim, _, _ in groups} for role in ("patch", "recommended")
        )
        rows.append((str(place), str(row["trace"]), *cells(before, after)))
    rows.append(("", "all together", *cells(patch, best)))
    left_out = len(run.traces) - len(table)
    rows[-1] = ("", "all together" if not left_out else f"all {len(run.traces)} together", *rows[-1][2:])
    return Table("Patch against recommended", tuple(columns), tuple(rows), totals=1)


def _mib(value: float) -> str:
    return f"{value:,.2f}"


def _front(run: Run) -> tuple[Section, ...]:
    """Show the figure of the front, in the first screen once the run has decided."""
    exact = run.decision is not None and bool(run.decision.front)
    of = "every point of the grid" if exact else "the tried points"
    front = front_table(run)
    text = (
        f"The front of {of} has {plural(len(front), 'outcome')}: nothing is better in one aim without being worse in "
        "another.",
    )
    section = Section("front", "The front: what can be had", text, figure="front")
    return (replace(section, leads=run.decision is not None),)


def _points(run: Run) -> tuple[Section, ...]:
    """Show the front point by point."""
    front = front_table(run)
    shown = thinned(front, MOST_FRONT_ROWS)
    text = ["The thresholds are those of the point nearest to the patch's, of all that share the outcome."]
    if len(shown) < len(front):
        text.append(f"The table shows {len(shown)} of {number(len(front))}, spread over the front.")
    columns = (
        *(Column(LETTERS[name], group="thresholds", key=name == THRESHOLDS[0]) for name in THRESHOLDS),
        *(Column(aim.title) for aim in run.aims), Column("points"),
    )  # fmt: skip
    rows = [
        (
            *(number(row[name]) for name in THRESHOLDS),
            *(write_value(aim, row[aim.name]) for aim in run.aims), number(row["points"]),
        )
        for row in shown.to_dict("records")
    ]  # fmt: skip
    table = Table(f"The front, by {run.aims[0].title}", columns, tuple(rows))
    return (Section("front-points", "The front, point by point", tuple(text), tables=(table,)),)


def _limits(run: Run) -> tuple[Section, ...]:
    traces = run.traces
    foreign = int((traces.architecture != "aarch64").sum())
    bullets = [
        "Simulated, not measured: splits and cached pages are counted by a model of the allocator, its "
        "shrinker, the buddy allocator and arm64's linear map. Time, TLB misses and locks are not in it.",
        "The model has one zone, one migrate type and no per-CPU lists; memory is empty when a replay "
        "begins, so fragmentation by the rest of the system is missing unless the recording holds it.",
        "Shrinker passes come when they came in the recording: the thresholds do not feed back on the "
        "pressure.",
        "A split is never folded back, as on arm64 today; the refill orders and the reserve are the patch's.",
        "Tracking of blocks was always on, as in the patch: this run does not say whether tracking helps, "
        "nor how it all compares with a linear map of PTEs.",
    ]
    if foreign:
        bullets.append(
            f"{number(foreign)} of {plural(len(traces), 'recording')} {'was' if foreign == 1 else 'were'} "
            "not made on arm64 (or do not say where): their page-table allocations stand in for arm64's."
        )
    return (Section("limits", "What the model leaves out", bullets=tuple(bullets)),)


def _reproduce(run: Run) -> tuple[Section, ...]:
    text = (
        "The same versions and recordings (sha256 above), study and random seed give the same points and "
        "words again, byte for byte; the figures too with the same Matplotlib.",
    )
    return (Section("reproduce", "How to reproduce it", text, commands=(run.command,)),)
