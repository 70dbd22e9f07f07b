"""How figures look, and how they become bytes: the same bytes for the same data.

Colours are Okabe and Ito's, told apart by colour-blind readers too; patch and recommended also differ in the
shape of their marks. Text stays text in the SVG (set in DejaVu Sans or Verdana, which have the same widths).
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pba.printable import LONGEST_MESSAGE, printable
from pba.report.borrowed import borrowed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pba.report.spots import Spot

INK: Final = "#1f2328"
MUTED: Final = "#666d76"
GRID: Final = "#dfe2e6"
SURFACE: Final = "#fffffe"
POINT: Final = "#a3aab3"
PATCH: Final = "#0072b2"
RECOMMENDED: Final = "#d55e00"
PLAIN: Final = "#009e73"
FRONT: Final = "#3d4550"
BAND: Final = "#f3e2c4"
LEVEL_COLOURS: Final = {
    "PGD": "#d55e00", "P4D": "#f0e442", "PUD": "#009e73", "PMD": "#e69f00", "PTE": "#0072b2",
    "kernel": "#cc79a7", "unknown": "#a3aab3",
}  # fmt: skip
"""Okabe and Ito's colours for the levels of page tables; every figure with levels has these."""

CSS_NAMES: Final = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", SURFACE: "--paper", POINT: "--point", PATCH: "--patch",
    RECOMMENDED: "--recommended", PLAIN: "--plain", FRONT: "--front", BAND: "--band",
}  # fmt: skip
"""Colour in a figure -> the HTML page's variable that replaces it, so that figures follow light and dark."""

_RC: Final[dict[str, Any]] = {
    "svg.hashsalt": "pba", "svg.fonttype": "none",
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"], "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "axes.titlecolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "figure.facecolor": SURFACE, "savefig.facecolor": SURFACE, "axes.facecolor": "none", "figure.dpi": 100,
    "savefig.dpi": 160, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.7, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "axes.titlelocation": "left",
    "axes.labelsize": 9, "legend.frameon": False, "legend.fontsize": 9, "figure.titlesize": 10.5,
    "figure.titleweight": "bold", "lines.solid_capstyle": "round", "figure.constrained_layout.use": True,
    "axes.formatter.useoffset": False, "path.simplify": True,
    "text.parse_math": False,  # a dollar sign in a name is one
}  # fmt: skip


def load_matplotlib() -> None:
    """Import Matplotlib even where `MPLBACKEND` names a backend that it does not know.

    Figures here are drawn without `pyplot`, so no backend is needed; yet the import itself would fail.
    """
    if "matplotlib" in sys.modules:
        return
    wanted = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if wanted is not None:
            os.environ["MPLBACKEND"] = wanted
    if wanted:
        with suppress(ValueError):  # whoever uses pyplot later gets the backend that they asked for
            matplotlib.rcParams["backend"] = wanted


@contextmanager
def style() -> Iterator[None]:
    """Draw and save under our settings, whatever the user's own; they come back afterwards.

    On axes of the user's own their settings hold, but for names, which are no formulas.
    """
    load_matplotlib()
    import matplotlib.style

    ours: list[str | dict[str, Any]] = (
        ["default", _RC] if borrowed() is None else [{"text.parse_math": False}]
    )
    with matplotlib.style.context(ours):
        yield


@dataclass(frozen=True)
class Picture:
    """A drawn figure with the data that it shows.

    In Jupyter it displays itself.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What it shows, in a line.
    caption : str
        How to read it.
    alt : str
        What it says, for those who cannot see it; written from the data.
    data : DataFrame
        The data that it shows.
    figure : matplotlib.figure.Figure
        The drawing, to be changed further.
    spots : tuple of Spot
        Places of it that a page can ask about.
    details : dict
        What the page then shows (`pba.report.spots`).
    """

    name: str
    title: str
    caption: str
    alt: str
    data: pd.DataFrame = field(repr=False)
    figure: Figure = field(repr=False)
    spots: tuple[Spot, ...] = field(default=(), repr=False)
    details: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # They hold names of traces.
        for name in ("title", "caption", "alt"):
            object.__setattr__(self, name, printable(getattr(self, name), LONGEST_MESSAGE))

    def svg(self) -> str:
        """Return the drawing as SVG, with its title and description inside."""
        stream = io.StringIO()
        with style():
            nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
            self.figure.savefig(stream, format="svg", metadata=nothing)
        text = re.sub(r"\s*<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.DOTALL)
        # Two images of the same pixels would share an id, which nothing refers to.
        text = re.sub(r'(<image\b[^>]*?)\sid="[^"]*"', r"\1", text)
        about = f"\n <title>{_escape(self.title)}</title>\n <desc>{_escape(self.alt)}</desc>"
        return re.sub(r"(<svg [^>]*>)", lambda match: match[1] + about, text, count=1, flags=re.DOTALL)

    def png(self) -> bytes:
        """Return the drawing as PNG."""
        stream = io.BytesIO()
        with style():
            self.figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()

    def inline_svg(self) -> str:
        """Return the SVG as a part of an HTML page: no prolog, ids of its own, the page's colours."""
        text = self.svg()
        text = text[text.index("<svg") :]
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{self.name}-", text)
        text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
        text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
        for colour, variable in CSS_NAMES.items():
            text = text.replace(colour, f"var({variable}, {colour})")
        text = text.replace("<title>", f'<title id="{self.name}-title">', 1)
        text = text.replace("<desc>", f'<desc id="{self.name}-desc">', 1)
        if self.spots:
            spots = "\n".join(spot.svg() for spot in self.spots)
            text = text.replace("</svg>", f'<g class="spots">\n{spots}\n</g>\n</svg>')
        labels = f'aria-labelledby="{self.name}-title {self.name}-desc"'
        return text.replace("<svg", f'<svg role="img" {labels}', 1)

    def _repr_svg_(self) -> str:
        """Show it in Jupyter."""
        text = self.svg()
        return text[text.index("<svg") :]


class KeptPicture(Picture):
    """A picture that is turned into SVG once: for where it is written twice, and not changed in between."""

    def svg(self) -> str:
        """Return the drawing as SVG."""
        if "kept" not in vars(self):
            vars(self)["kept"] = super().svg()
        return str(vars(self)["kept"])


def kept(picture: Picture) -> KeptPicture:
    """Return a picture that is turned into SVG once."""
    return KeptPicture(**{item.name: getattr(picture, item.name) for item in fields(picture)})


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
