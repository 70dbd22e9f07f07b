"""Conditions on what a replay counts, such as `pmd_splits > 3 and scan_stops == 0`, read without `eval`."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pba.errors import PbaError
from pba.results import MEANINGS

MAX_LENGTH: Final = 500
"""Longest condition that is read, in characters; it bounds how deep it nests."""

ARITHMETIC: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
COMPARISONS: Final[dict[type[ast.AST], Callable[[Any, Any], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ALLOWED: Final = "counters, numbers, < <= > >= == !=, and or not, + - * //, and parentheses"

Counters = Mapping[str, Any]
Number = Callable[[Counters], Any]
Condition = Callable[[Counters], bool]


@dataclass(frozen=True)
class Property:
    """A condition on the counters of a replay.

    Attributes
    ----------
    text : str
        As it was written.
    names : tuple of str
        The counters that it names, in the order of `MEANINGS`.
    """

    text: str
    names: tuple[str, ...]
    _condition: Condition = field(repr=False, compare=False)

    def holds(self, counters: Counters) -> bool:
        """Return whether it holds; a condition that divides by 0 or overflows does not."""
        try:
            return self._condition(counters)
        except ArithmeticError:
            return False


def parse_property(text: str) -> Property:
    """Read a condition.

    Raises
    ------
    PbaError
        If it does not parse, is not a condition, uses more than is allowed, or names
        something that is not a counter.
    """
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    if len(text) > MAX_LENGTH:
        raise PbaError(f"condition {shown!r} is too long", f"at most {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of `3or`, and the like
            tree = ast.parse(text.strip(), mode="eval").body
        condition = _condition(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PbaError(
            f"condition {shown!r} cannot be read", "write it as 'pmd_splits > 3 and scan_stops == 0'"
        ) from None
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return Property(text.strip(), tuple(name for name in MEANINGS if name in named), condition)


def _condition(node: ast.AST) -> Condition:
    """Return what evaluates a condition."""
    if isinstance(node, ast.BoolOp):
        parts = [_condition(value) for value in node.values]
        joined = all if isinstance(node.op, ast.And) else any
        return lambda counters: joined(part(counters) for part in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _condition(node.operand)
        return lambda counters: not inner(counters)
    if isinstance(node, ast.Compare) and all(type(op) in COMPARISONS for op in node.ops):
        sides = [_number(side) for side in (node.left, *node.comparators)]
        compare = [COMPARISONS[type(op)] for op in node.ops]
        return lambda counters: all(
            op(sides[at](counters), sides[at + 1](counters)) for at, op in enumerate(compare)
        )
    raise _refusal(node, "is not a condition")


def _number(node: ast.AST) -> Number:
    """Return what evaluates a number."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
        return lambda counters: value
    if isinstance(node, ast.Name):
        name = node.id
        if name not in MEANINGS:
            raise PbaError(f"{name!r} is not a counter of a replay", "there are " + ", ".join(MEANINGS))
        return lambda counters: counters[name]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return lambda counters: -inner(counters)
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right, apply = _number(node.left), _number(node.right), ARITHMETIC[type(node.op)]
        return lambda counters: apply(left(counters), right(counters))
    raise _refusal(node, "is not a number")


def _refusal(node: ast.AST, what: str) -> PbaError:
    """Say which part of a condition is not allowed."""
    part = ast.unparse(node)
    return PbaError(f"{part[:60]!r} {what}", f"a condition compares counters; allowed are {ALLOWED}")
