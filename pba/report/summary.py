"""The report's content: a `Document` made from a run, for all formats alike."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from pba.report.answers import answers, coarse, flat_sentences, held_out
from pba.report.data import (
    LETTERS,
    THRESHOLDS,
    front_table,
    held_out_table,
    point,
    quality_table,
    recordings_table,
    thinned,
    thresholds,
    tolerance_table,
)
from pba.report.document import Column, Document, Section, Table
from pba.report.words import listing, mib, relative
from pba.study.flatness import TOLERANCE
from pba.study.space import distinct_points
from pba.units import fine_percent, format_time, number, plural

if TYPE_CHECKING:
    from pba.study.result import Run

TITLE: Final = "Thresholds of the page-table block allocator's shrinker"
PATCH: Final = '"mm: kpkeys: Add shrinker for block pgtable allocator" (v6 17/30)'
MOST_FRONT_ROWS: Final = 16
"""A longer front is thinned in the report; trials.csv has all of it."""
_NUMBER = Column("#", key=True)
_NAME = Column("recording", left=True, key=True)


def summarize_run(run: Run) -> Document:
    """Return everything that a report says about a run."""
    parts = (
        _what_was_run, _recordings, _baseline, _recommendation, _held_out, _front, _flatness, _limits,
        _reproduce,
    )  # fmt: skip
    return Document(
        title=TITLE,
        subject=f'Study "{run.study.name}", on {PATCH}',
        warnings=tuple(_warnings(run)),
        answers=answers(run),
        sections=tuple(part(run) for part in parts),
    )


def _warnings(run: Run) -> list[str]:
    text = []
    if not run.complete:
        total = distinct_points(run.study)
        text.append(
            f"The run is not complete: {number(len(run.points))} of {plural(total, 'point')} "
            "were tried, and nothing was replayed around the recommended one. What follows may change."
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


def _what_was_run(run: Run) -> Section:
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
    return Section("run", "What was run", tuple(text), tables=(Table("", columns, _facts(run)),))


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
    length = f"{format_time(traces.duration_ns.sum())}, {number(traces.events.sum())} events, {passes}"
    return (
        ("pba", f"{run.versions.get('pba', 'unknown')} ({others})"),
        ("study", f"{study.name}: {study.description}" if study.description else study.name),
        ("points", _points(run)),
        ("search", f"Optuna, sampler {study.sampler}, random seed {study.seed}"),
        ("space", f"{space}; pages"),
        (
            "aims",
            "fewest PMD splits (sum over recordings), fewest mean cached pages (time-weighted in a "
            "recording, plain mean over recordings; a page counts as one whatever its size, so that no "
            "recording outweighs the others by its page size)",
        ),
        ("recordings", f"{number(len(traces))}: {length}"),
        ("machines", "; ".join(f"{name} ({plural(n, 'recording')})" for name, n in machines.items())),
    )


def _points(run: Run) -> str:
    """Say how many points were tried, of how many that were asked for or that there are."""
    total = distinct_points(run.study)
    asked = f"; the study asks for {number(run.study.points)}, the space has no more"
    text = f"{number(len(run.points))} of {number(total)}, the patch's own among them"
    return text + (asked if total < run.study.points else "")


def _recordings(run: Run) -> Section:
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
    return Section(
        "recordings", title, text, tuple(flagged), tables=(_contents_table(rows), _trust_table(rows))
    )


def _contents_table(rows: list[dict[Hashable, Any]]) -> Table:
    columns = (
        _NUMBER, _NAME, Column("recorded on", left=True), Column("simulated machine", left=True),
        Column("length", group="content"), Column("events", group="content"),
        Column("passes", group="content"), Column("sha256", left=True),
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
        _NUMBER, _NAME, Column("lost events", group="quality"), Column("unknown frees", group="quality"),
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


def _baseline(run: Run) -> Section:
    patch = point(run, run.patch)
    place = (
        "It lies on the Pareto front: no tried point is as good in both aims and better in one."
        if bool(patch.on_front)
        else _beaten(run)
    )
    return Section(
        "baseline",
        "Baseline: the patch's thresholds",
        (
            f"The patch as posted has {thresholds(patch)}. With them: "
            f"{plural(patch.pmd_splits, 'PMD split')}, {plural(patch.mean_cached_pages, 'page')} cached on "
            f"average, {mib(patch.peak_cached_mib)} at the highest peak.",
            place,
        ),
    )


def _beaten(run: Run) -> str:
    patch, points = point(run, run.patch), run.points
    better = (points.pmd_splits <= patch.pmd_splits) & (points.mean_cached_pages <= patch.mean_cached_pages)
    better &= (points.pmd_splits < patch.pmd_splits) | (points.mean_cached_pages < patch.mean_cached_pages)
    return (
        f"{plural(better.sum(), 'tried point is', 'tried points are')} at least as good in both aims and "
        "better in one."
    )


def _recommendation(run: Run) -> Section:
    text = [run.rule, *_shrinker(run)]
    title = "Recommendation, recording by recording"
    return Section("recommendation", title, tuple(text), figure="recordings", tables=(_comparison(run),))


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
    groups = (("pmd_splits", "PMD splits", number), ("mean_cached_pages", "mean cached pages", number),
              ("mean_cached_mib", "mean cached, MiB", _mib),
              ("peak_cached_mib", "peak cached, MiB", _mib))  # fmt: skip
    columns = [_NUMBER, _NAME]
    for _, title, _ in groups:
        columns += [Column(head, group=title) for head in ("patch", "recomm.", "change")]
    # Of one recording, pages and MiB change by the same share: said once, so that the table fits a page.
    del columns[columns.index(Column("change", group="mean cached, MiB"))]

    def cells(before: Any, after: Any) -> list[str]:
        row = []
        for aim, _, write in groups:
            row += [write(before[aim]), write(after[aim])]
            row += [relative(before[aim], after[aim])] if aim != "mean_cached_mib" else []
        return row

    rows = []
    for place, row in enumerate(table.to_dict("records"), 1):
        before, after = (
            {aim: row[f"{role}_{aim}"] for aim, _, _ in groups} for role in ("patch", "recommended")
        )
        rows.append((str(place), str(row["trace"]), *cells(before, after)))
    rows.append(("", "sum, means, maximum", *cells(patch, best)))
    return Table("Patch against recommended", tuple(columns), tuple(rows), totals=1)


def _mib(value: float) -> str:
    return f"{value:,.2f}"


def _held_out(run: Run) -> Section:
    table = held_out_table(run)
    title = "Held out: does it hold where it was not chosen?"
    if table.empty:
        return Section("held-out", title, (held_out(run),))
    columns = (
        _NUMBER, Column("held out", left=True, key=True), Column("point", group="chosen on the others"),
        *(Column(LETTERS[name], group="chosen on the others") for name in THRESHOLDS),
        Column("patch", group="splits"), Column("chosen", group="splits"),
        Column("patch", group="cached pages"), Column("chosen", group="cached pages"),
    )  # fmt: skip
    rows = [
        (
            str(place), str(row["trace"]), str(row["number"]), *(str(row[name]) for name in THRESHOLDS),
            number(row["patch_pmd_splits"]), number(row["chosen_pmd_splits"]),
            number(row["patch_mean_cached_pages"]), number(row["chosen_mean_cached_pages"]),
        )
        for place, row in enumerate(table.to_dict("records"), 1)
    ]  # fmt: skip
    means = (number(table[f"{side}_mean_cached_pages"].mean()) for side in ("patch", "chosen"))
    sums = (number(table[f"{side}_pmd_splits"].sum()) for side in ("patch", "chosen"))
    rows.append(("", "sum, mean", "", "", "", "", *sums, *means))
    text = (
        "Each recording was held out in turn and the point chosen by the rule on the others. Only the choice "
        "is held out: the points to choose from were searched with all recordings, so that a new recording "
        "may do worse."
    )
    shown = Table("On the recording held out", columns, tuple(rows), totals=1)
    return Section("held-out", title, (text,), tables=(shown,))


def _front(run: Run) -> Section:
    front = front_table(run)
    shown = thinned(front, MOST_FRONT_ROWS)
    points = len(run.front)
    text = [
        f"{plural(points, 'of the tried points is', 'of the tried points are')} on the Pareto front"
        + (f", with {plural(len(front), 'distinct outcome')}" if points != len(front) else "")
        + ": no tried point is better in one aim without being worse in the other."
    ]
    if len(front) > 1:
        few, many = front.iloc[0], front.iloc[-1]
        text.append(
            f"Its ends: {plural(few.pmd_splits, 'split')} for {plural(few.mean_cached_pages, 'page')} of "
            f"cache ({thresholds(few)}), {plural(many.pmd_splits, 'split')} for "
            f"{plural(many.mean_cached_pages, 'page')} ({thresholds(many)})."
        )
    if len(shown) < len(front):
        text.append(
            f"The table shows {len(shown)} outcomes spread over the front; trials.csv has every point."
        )
    columns = (
        Column("point", key=True), *(Column(LETTERS[name], group="thresholds") for name in THRESHOLDS),
        Column("PMD splits"), Column("mean pages", group="cached"), Column("peak MiB", group="cached"),
        Column("equal points"), Column("role", left=True),
    )  # fmt: skip
    rows = [
        (
            str(row["number"]), *(str(row[name]) for name in THRESHOLDS), number(row["pmd_splits"]),
            number(row["mean_cached_pages"]), _mib(row["peak_cached_mib"]), str(row["equal_points"] - 1),
            _role(row),
        )
        for row in shown.to_dict("records")
    ]  # fmt: skip
    marked = tuple(place for place, row in enumerate(shown.to_dict("records")) if row["recommended"])
    table = Table("The front, by rising splits", columns, tuple(rows), marked=marked)
    return Section("front", "The front: what can be had", tuple(text), figure="front", tables=(table,))


def _role(row: dict[Any, Any]) -> str:
    return listing([name for name in ("patch", "recommended") if row[name]])


def _flatness(run: Run) -> Section:
    table = tolerance_table(run)
    rows = [
        (
            f"{LETTERS[str(name)]}", number(row["patch"]), number(row["recommended"]),
            _span(row["from"], row["to"], number) if row["tested"] > 1 else "-",
            _span(row["lowest"], row["highest"], number) + f" ({row['tested']})",
            _span(row["min_pmd_splits"], row["max_pmd_splits"], number),
            _span(row["min_mean_cached_pages"], row["max_mean_cached_pages"], number),
        )
        for name, row in table.iterrows()
    ]  # fmt: skip
    columns = (
        Column("", left=True, key=True), Column("patch", group="pages"), Column("recomm.", group="pages"),
        Column("within 5 %", group="pages"), Column("tested (values)", group="pages"),
        Column("splits", group="over what was tested"), Column("cached pages", group="over what was tested"),
    )  # fmt: skip
    text = [
        "Each threshold was moved alone, the other two held as recommended, with an exact replay at every "
        f"value. An aim stays while it is within {100 * TOLERANCE:.0f} % of the recommended point's, up or "
        "down; only tested values count.",
        *coarse(run),
    ]
    if run.flatness.empty:
        text = ["Not known: nothing was replayed around the recommended point (the run is not complete)."]
    return Section("flatness", "How flat the optimum is", tuple(text),
                   flat_sentences(run) if not run.flatness.empty else (), figure="flatness",
                   tables=(Table("How far a threshold can move", columns, tuple(rows)),))  # fmt: skip


def _span(low: float, high: float, write: Any) -> str:
    first, last = write(low), write(high)
    return first if first == last else f"{first} to {last}"


def _limits(run: Run) -> Section:
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
    return Section("limits", "What the model leaves out", bullets=tuple(bullets))


def _reproduce(run: Run) -> Section:
    text = (
        "The same versions and recordings (sha256 above), study and random seed give the same points and "
        "words again, byte for byte; the figures too with the same Matplotlib.",
    )
    return Section("reproduce", "How to reproduce it", text, commands=(run.command,))
