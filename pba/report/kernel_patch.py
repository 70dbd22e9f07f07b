"""The recommended thresholds as a patch of the kernel: three values, and the evidence as its message."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from pba.report.data import decided
from pba.report.mail import evidence
from pba.report.renderers import plain_words
from pba.study.definition import BLOCK_NR_PAGES_4K
from pba.study.space import PATCH_POINT

if TYPE_CHECKING:
    from pba.study.result import Run
    from pba.study.space import Point

FILE: Final = "mm/kpkeys_hardened_pgtables.c"
_U_LINE: Final = "#define PBA_UNSHRINKABLE_PAGES {}"
_M_LINE: Final = "#define PBA_SHRINK_BLOCK_MIN_PAGES {}"
_B_LINE: Final = "\tshrinker->batch = {};"

# Where v6 has them once patch 17 is applied: the first line's number, what stands around, what changes.
_DEFINES: Final[tuple[int, tuple[str, ...]]] = (
    587,
    (
        "/* Shrinker */", "", "/* Keep some pages around to avoid shrinking causing a refill right away */", _U_LINE,
        "/* Don't shrink a block that is almost full to avoid excessive splitting */", _M_LINE, "",
        "static unsigned long count_shrinkable_pages(void)", "{",
    ),
)  # fmt: skip
_INIT: Final[tuple[int, tuple[str, ...]]] = (
    746,
    (
        "\tshrinker->count_objects = pba_shrink_count;", "\tshrinker->scan_objects = pba_shrink_scan;",
        "\tshrinker->seeks = 0;", _B_LINE, "\tshrinker_register(shrinker);", "\treturn 0;", "}",
    ),
)  # fmt: skip


def kernel_patch(run: Run) -> str:
    """Return an RFC patch on top of v6 17/30 with the recommended thresholds; empty where they are the patch's.

    It has no author and no sign-off: whoever sends it adds both.

    Raises
    ------
    StudyError
        If the run has not decided yet.
    """
    return patch_of(decided(run).recommended, evidence(run), run.command)


def patch_of(point: Point, told: Sequence[str], command: str) -> str:
    """Return the patch to a point, with paragraphs of evidence and the command as its message."""
    changes = diff(point)
    if not changes:
        return ""
    head = "Subject: [RFC PATCH] mm: kpkeys: Tune the thresholds of the block allocator's shrinker"
    values = "\n".join(f"  {name:<26} = {value}" for name, value in _values(point).items())
    again = f"Simulated, not measured on a kernel. To run it again:\n\n  {plain_words(command)}"
    message = [head, values, *told, again]
    return "\n\n".join(message) + f"\n---\n{changes}"


def diff(point: Point) -> str:
    """Return the unified diff from the patch's thresholds to a point; empty where nothing changes.

    `git apply` finds its place by the lines around it, so that a later version of the file will do.
    """
    before, after = _values(PATCH_POINT), _values(point)
    hunks = [_hunk(first, lines, before, after) for first, lines in (_DEFINES, _INIT)]
    found = "".join(hunks)
    return found and f"diff --git a/{FILE} b/{FILE}\n--- a/{FILE}\n+++ b/{FILE}\n{found}"


def _hunk(first: int, lines: tuple[str, ...], before: dict[str, str], after: dict[str, str]) -> str:
    """Return one hunk, or nothing where none of its values changes."""
    names = {
        _U_LINE: "PBA_UNSHRINKABLE_PAGES",
        _M_LINE: "PBA_SHRINK_BLOCK_MIN_PAGES",
        _B_LINE: "shrinker->batch",
    }
    text, changed = "", False
    for line in lines:
        name = names.get(line)
        old, new = (line.format(values[name]) if name else line for values in (before, after))
        text += f" {old}\n" if old == new else f"-{old}\n+{new}\n"
        changed |= old != new
    return f"@@ -{first},{len(lines)} +{first},{len(lines)} @@\n{text}" if changed else ""


def _values(point: Point) -> dict[str, str]:
    """Return the three values as C has them, M and B as shares of a block, whatever its pages."""
    least = _of_a_block(point.shrink_block_min_pages)
    return {
        "PBA_UNSHRINKABLE_PAGES": str(point.unshrinkable_pages),
        "PBA_SHRINK_BLOCK_MIN_PAGES": f"({least})" if " " in least else least,
        "shrinker->batch": _of_a_block(point.batch),
    }


def _of_a_block(pages: int) -> str:
    share = Fraction(pages, BLOCK_NR_PAGES_4K)
    above = "" if share.numerator == 1 else f" * {share.numerator}"
    below = "" if share.denominator == 1 else f" / {share.denominator}"
    return f"BLOCK_NR_PAGES{above}{below}"
