"""Which policies there are. To add one: a file beside this one with its `Definition`, and its name here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pba.errors import PbaError, meant
from pba.printable import printable

if TYPE_CHECKING:
    from pba.policies.definition import Definition

PLACES: Final[dict[str, str]] = {
    "v6": "v6",
    "whole-blocks-only": "v6",
    "never": "v6",
    "untracked": "untracked",
    "whole-blocks": "whole_blocks",
    "cold-first": "cold_first",
    "fullest-first": "fullest_first",
    "nonblock-first": "nonblock_first",
    "v6+collapse": "collapse",
    "scattered": "scattered",
    "pte-mapped": "pte_mapped",
    "freetype": "freetype",
    "grouped": "grouped",
    "unmapped-buddy": "unmapped_buddy",
}
"""Every policy by its name, and the module that defines it: loaded, and compiled, when it is first used."""


@cache
def definition(name: str) -> Definition:
    """Return what a policy is.

    Raises
    ------
    PbaError
        If there is none of this name; the nearest one is told.
    """
    if name not in PLACES:
        raise PbaError(f"no policy is called {printable(repr(name))}", meant(str(name), tuple(PLACES)))
    module = import_module(f"pba.policies.{PLACES[name]}")
    found: Definition = next(each for each in module.POLICIES if each.name == name)
    return found
