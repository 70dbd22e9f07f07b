"""How Sphinx makes the site: the READMEs as they are, and the Python interface from its docstrings."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ["PBA_CLONE"])  # build runs a copy of this file

import pba

project = "pba"
author = "the authors of pba"
release = version = pba.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [".doctrees"]
root_doc = "README"
html_theme = "furo"
html_title = f"pba {release}"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sphinx = False
# The same folder gives the same bytes.
html_last_updated_fmt = None
myst_heading_anchors = 4
autodoc_typehints = "none"
autodoc_member_order = "bysource"
default_role = "code"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


def public_names() -> dict[str, list[str]]:
    """Return what `import pba` gives, by kind, as the lists of the interface's page."""
    kinds: dict[str, list[str]] = {"Classes": [], "Functions": []}
    for name in sorted(set(pba.__all__)):
        value = getattr(pba, name)
        if inspect.isclass(value):
            kinds["Classes"].append(name)
        elif callable(value):
            kinds["Functions"].append(name)
    return kinds


def write_pages(folder: Path) -> None:
    """Write the interface's page into the sources: a heading for each public name."""
    lines = ["# Python interface", "", "```{eval-rst}", ".. automodule:: pba", "   :no-members:", "```", ""]
    for kind, names in public_names().items():
        lines += [f"## {kind}", ""]
        for name in names:
            directive = "autoclass" if kind == "Classes" else "autofunction"
            members = ["   :members:"] if kind == "Classes" else []
            lines += [f"### {name}", "", "```{eval-rst}", f".. {directive}:: pba.{name}", *members, "```", ""]
    (folder / "interface.md").write_text("\n".join(lines), encoding="utf-8")


def setup(app: Any) -> None:
    """Have the interface's page written before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
