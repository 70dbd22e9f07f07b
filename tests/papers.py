"""The parts of READMEs that are made from elsewhere, and how to find their commands, code and links.

    python -m tests.papers

writes them anew: the map of rooms in pba/README.md from `tests/test_walls.py`, the table of recordings in
data/README.md from `data/recordings.toml` and the recordings' own files, that of pressure there from
`tests/watermarks.py`, the tables of policies in README.md and
pba/README.md from replays of all recordings. `tests/test_papers.py` holds both.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pba
from pba.machine import memory_words
from pba.policies.registry import definition
from pba.probe.compare import cell
from pba.probe.measures import MEASURES
from pba.probe.regret import against_floor
from pba.trace import corpus
from pba.units import fine_percent, format_time, number
from tests import watermarks
from tests.answer.surprises import counted, trace_of
from tests.answer.surprises import surprises as told_surprises
from tests.test_walls import FLOOR, LAYERS

ROOT = Path(__file__).resolve().parents[1]
PAPERS = sorted(
    path
    for pattern in ("*.md", "*/README.md", "tests/*/README.md", "studies/*/README.md", ".github/*.md")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith((".venv", ".pytest", "build", "dist"))
)
UNKNOWN_START = "pages live when the recording began are unknown"


def rooms() -> str:
    """Return the map of rooms, the floor first."""
    lines = ["| | room | what it is | what it knows |", "|---|---|---|---|"]
    layers = [{name: room for name, (room, _) in FLOOR.items()}, *LAYERS]
    for at, layer in enumerate(layers):
        for name, room in layer.items():
            lines.append(f"| {at} | `{name}` | {room.what} | {room.knows} |")
    return "\n".join(lines)


def recordings() -> str:
    """Return the table of the recordings that come with pba, in the order of `recordings.toml`."""
    said = tomllib.loads((ROOT / "data" / corpus.DESCRIPTIONS).read_text(encoding="utf-8"))
    lines = [
        "| name | what ran | kernel | pages, memory | length | events | passes | live at start "
        "| lost / inferred | recall / precision | scripts |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, about in said.items():
        recording = corpus.describe(name)
        known, quality = recording.metadata, recording.metadata.quality
        assert known.page_size_kib and known.memory_pages and known.duration_ns
        memory = memory_words(known.memory_pages, known.page_size_kib)
        start = "unknown" if UNKNOWN_START in quality.notes else f"{quality.live_at_start}"
        truth = quality.truth
        checked = "not read"
        if truth is not None:
            shares = " / ".join(fine_percent(share) for share in (truth.recall, truth.precision))
            checked = f"{shares} of {truth.true_pages}"
        scripts = ", ".join(f"[{file}](scripts/{file})" for file in about["scripts"]) or "not kept"
        cells = (
            f"`{name}`",
            about["what_ran"],
            f"{known.kernel} {known.architecture}",
            f"{known.page_size_kib} KiB, {memory}",
            format_time(known.duration_ns),
            f"{recording.events:,}",
            f"{recording.passes:,}",
            start,
            f"{quality.lost_events} / {quality.inferred_frees}",
            checked,
            scripts,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@cache
def _compared() -> pba.Comparison:
    """Return all policies on all recordings, at the patch's thresholds."""
    return pba.compare(policies=["all"])


def policies() -> str:
    """Return the policies that answer the question, a row each, with the figures that matter most."""
    wanted = (
        "v6", "v6+collapse", "untracked", "whole-blocks-only", "scattered", "pte-mapped", "freetype", "grouped",
        "unmapped-buddy",
    )  # fmt: skip
    measures = ("pmd_splits", "mapped_end", "tlb_flushes", "held_back_mean")
    heads = ("PMD splits", "block-mapped at the end, %", "TLB flushes", "pages held back")
    lines = [f"| policy | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    totals = _compared().totals
    for name in wanted:
        cells = [cell(totals.at[measure, name], MEASURES[measure].unit) for measure in measures]
        lines.append(f"| `{name}`: {definition(name).line} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES: Final = {
    "The linear map": (
        "pmd_splits", "pud_splits", "contpmd_splits", "contpte_splits", "mapped_mean", "mapped_end", "tables_mean",
    ),
    "Calls and flushes": (
        "protect_single", "protect_range", "unprotect_single", "unprotect_range", "tlb_flushes", "refills",
        "blocks_back", "pages_released",
    ),
    "Memory, and what failed": (
        "held_mean", "held_peak", "held_back_mean", "held_back_peak", "after_passes", "stay_seconds",
        "alloc_failures", "pages_leaked", "no_block", "unprotected", "visits", "others_failed",
    ),
}  # fmt: skip
"""The tables of all policies, and the measures in each; a measure that is 0 for all is left out."""


def measures() -> str:
    """Return every measure of every policy, a row each, and what the measures are."""
    totals = _compared().totals
    assert sorted(name for names in TABLES.values() for name in names) == sorted(MEASURES)
    lines = []
    for title, names in TABLES.items():
        shown = [name for name in names if totals.loc[name].any()]
        lines += [f"| {title} | {' | '.join(map(_head, shown))} |", f"|---|{'---:|' * len(shown)}"]
        for policy in totals.columns:
            cells = [cell(totals.at[name, policy], MEASURES[name].unit) for name in shown]
            lines.append(f"| `{policy}` | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(
        [*lines, *(f"- *{one.label}* ({one.over}): {one.meaning}." for one in MEASURES.values())]
    )


def _head(measure: str) -> str:
    """Return a measure's label, with the unit where the label does not say it."""
    one = MEASURES[measure]
    unit = {"share": "%", "pages": "pages", "s": "s"}.get(one.unit)
    return one.label if unit is None else f"{one.label}, {unit}"


def floor() -> str:
    """Return how far each policy is from the least splits that any allocator needs."""
    traces = [pba.read_trace(name) for name in pba.recordings()]
    found = against_floor(_compared(), traces, pba.machine_of)
    heads = ("PMD splits", "pages held back", "least splits at so many", "if pages go back at visits alone")
    lines = [f"| policy | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for choice, rows in found.groupby("choice", sort=False):
        held = cell(rows["held_back_mean"].mean(), "pages")
        by_visits = rows["least_splits_reclaim"]
        last = "" if by_visits.isna().any() else f"{by_visits.sum():,.0f}"
        lines.append(
            f"| `{choice}` | {rows['pmd_splits'].sum():,} | {held} | {rows['least_splits'].sum():,.0f} | {last} |"
        )
    one = found[found["choice"] == "v6"]
    unsplit, by_visits, reached = (
        number(one[name].mean()) for name in ("pages_unsplit", "pages_unsplit_reclaim", "reachable_unsplit")
    )
    least = f"{unsplit} pages on average, {by_visits} if pages go back at visits alone"
    lines += ["", f"Without any split no allocator holds back less than {least}."]
    lines.append(f"One that knows all lifetimes does it with {reached}.")
    return "\n".join(lines)


def memory() -> str:
    """Return from which memory on a linear map in PTEs takes more of it than policies hold back, by recording."""
    wanted = ("v6", "whole-blocks-only", "freetype")
    found = pba.break_even_memory(_compared(), wanted)
    heads = [f"{name}, {kind}" for name in wanted for kind in ("mean", "peak")]
    lines = [f"| GiB | the machine has | {' | '.join(heads)} |", f"|---|---:|{'---:|' * len(heads)}"]
    for trace, rows in found.groupby("trace", sort=False):
        cells = [f"{rows['memory_gib'].iloc[0]:.2f}"]
        for name in wanted:
            row = rows[rows["choice"] == name].iloc[0]
            cells += [f"{row['mean_gib']:.2f}", f"{row['peak_gib']:.2f}"]
        lines.append(f"| `{trace}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def surprises() -> str:
    """Return what v6 and its rivals do that surprises, each with what its trace counts."""
    lines = ["| trace | what happens, and when | counted | remedy |", "|---|---|---|---|"]
    for name, said in told_surprises().items():
        found = ", ".join(f"{key} {value:,}" for key, value in counted(trace_of(name), said).items())
        values = said.get("thresholds")
        told = (
            ""
            if values is None
            else " with " + ", ".join(f"{key}={one}" for key, one in zip("UMB", values, strict=True))
        )
        where = f"{said['memory']} of {said.get('page_size_kib', 4)} KiB pages"
        policy = said.get("policy", "v6")
        lines.append(
            f"| `{name}` | {said['what']} ({said['when']}) | `{policy}`{told}, {where}: {found} | {said['remedy']} |"
        )
    return "\n".join(lines)


MADE: dict[str, tuple[Path, Callable[[], str]]] = {
    "rooms": (ROOT / "pba/README.md", rooms),
    "recordings": (ROOT / "data/README.md", recordings),
    "pressure": (ROOT / "data/README.md", watermarks.table),
    "policies": (ROOT / "README.md", policies),
    "measures": (ROOT / "pba/README.md", measures),
    "floor": (ROOT / "pba/README.md", floor),
    "memory": (ROOT / "studies/answer/README.md", memory),
    "surprises": (ROOT / "studies/answer/README.md", surprises),
}
"""What is made, by the name that its place is marked with."""


def with_made(text: str, name: str, made: str) -> str:
    """Return a README with what lies between the marks of `name` replaced."""
    new, times = re.subn(
        rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{made}\n\n{found[2]}",
        text,
        flags=re.DOTALL,
    )
    if times != 1:
        raise SystemExit(f"{name} is marked {times} times, and not once")
    return new


def commands(text: str) -> Iterator[str]:
    """Yield the commands of `pba` in a README's indented blocks, lines that go on joined."""
    joined = re.sub(r"\\\n\s+", "", text)
    for line in re.findall(r"^    (.+)$", joined, re.MULTILINE):
        for piece in re.split(r"&&|\|", re.sub(r"\s+#.*$", "", line)):
            if piece.strip().startswith("pba "):
                yield piece.strip()


def anchors(text: str) -> set[str]:
    """Return the anchors of a README's headings, as GitHub and the site make them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(text: str) -> list[str]:
    """Return the targets of a README's links, to other hosts excepted."""
    return [each for each in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in each]


def main() -> None:
    """Write what is made into its READMEs."""
    for name, (path, make) in MADE.items():
        path.write_text(with_made(path.read_text(encoding="utf-8"), name, make()), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
