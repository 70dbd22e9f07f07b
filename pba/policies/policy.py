"""A policy as users ask for it: its name, and values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from pba.errors import PbaError, ThresholdError, meant
from pba.machine import Machine, Thresholds
from pba.policies.registry import definition
from pba.printable import printable

if TYPE_CHECKING:
    from pba.policies.definition import Definition, Parameter, Value


class Policy:
    """A way to protect page tables, for `pba.replay`.

    Parameters
    ----------
    name : str
        Its name: `pba policies` lists them all.
    **parameters : bool, int or str
        Values of its parameters; what is not said has its default.

    Raises
    ------
    PbaError
        If there is no such policy or parameter, or the value is out of its range.

    Examples
    --------
    >>> import pba
    >>> pba.Policy("whole-blocks", fall=True)
    Policy('whole-blocks', fall=True)
    """

    def __init__(self, name: str, **parameters: Any) -> None:
        self.definition: Definition = definition(name)
        self.name = name
        known = {each.name: each for each in self.definition.parameters}
        for key in parameters:
            if key not in known:
                hint = meant(key, tuple(known)) if known else "it has none"
                raise PbaError(f"policy {name} has no parameter {printable(repr(key))}", hint)
        self.parameters: dict[str, Value] = {
            key: _checked(name, each, parameters.get(key, each.default)) for key, each in known.items()
        }

    @classmethod
    def of(cls, policy: str | Policy | None) -> Policy:
        """Return a policy that is given by its name, as itself, or not at all: then it is v6."""
        return policy if isinstance(policy, Policy) else cls("v6" if policy is None else policy)

    @property
    def is_v6(self) -> bool:
        """Whether it is v6 itself, perhaps at thresholds of its own: nothing of the kernel is replaced."""
        return not self.definition.replaced

    def thresholds_on(self, machine: Machine, thresholds: Thresholds | None) -> Thresholds | None:
        """Return the thresholds to replay with: those given, or the patch's; None for a policy without any.

        Raises
        ------
        ThresholdError
            If one that is given is out of its range, or not the policy's.
        """
        takes = self.definition.thresholds
        if not takes and self.definition.fixed is None:
            if thresholds is not None:
                raise ThresholdError(
                    f"policy {self.name} has no thresholds, and is given {thresholds}", "leave them out"
                )
            return None
        patch = Thresholds.patch(machine)
        values = patch.to_dict() if thresholds is None else thresholds.to_dict()
        if self.definition.fixed is not None:
            fixed = self.definition.fixed(machine.block_nr_pages, machine.memory_pages)
            for name, value in fixed.items():
                if thresholds is not None and values[name] not in (value, getattr(patch, name)):
                    raise ThresholdError(
                        f"policy {self.name} has no {name} of its own, and is given {values[name]}",
                        f"it is {value} pages on {machine}",
                    )
            values |= fixed
        chosen = Thresholds(**values)
        chosen.check(machine)
        return chosen

    def codes(self) -> list[int]:
        """Return the parameters' values as the kernel takes them, in their order."""
        return [each.code(self.parameters[each.name]) for each in self.definition.parameters]

    def to_dict(self) -> dict[str, Any]:
        """Return name and parameters, as JSON takes them."""
        return {"name": self.name, "parameters": dict(self.parameters)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.parameters.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        return _policy_from, (self.name, self.parameters)

    def __repr__(self) -> str:
        said = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
        return f"Policy({self.name!r}{said})"

    def __str__(self) -> str:
        """Its name, and the parameters that are not at their default."""
        other = (
            f"{each.name}={_shown(self.parameters[each.name])}"
            for each in self.definition.parameters
            if self.parameters[each.name] != each.default
        )
        return " ".join([self.name, *other])


def _policy_from(name: str, parameters: Mapping[str, Value]) -> Policy:
    return Policy(name, **parameters)


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked(policy: str, parameter: Parameter, value: Any) -> Value:
    """Return a parameter's value, of its own type, or refuse it."""
    values = parameter.values
    if values is None:
        if isinstance(value, bool):
            return value
    elif isinstance(values[0], int):
        is_number = isinstance(value, Integral) and not isinstance(value, bool)
        if is_number and values[0] <= int(value) <= int(values[1]):
            return int(value)
    elif value in values:
        return str(value)
    raise PbaError(
        f"policy {policy}: {parameter.name} = {printable(repr(value))} is not possible",
        f"it may be {parameter.range}",
    )


def parse_parameters(name: str, words: list[str]) -> Policy:
    """Return a policy whose parameters are given as `KEY=VALUE`, as on a command line.

    Raises
    ------
    PbaError
        As `Policy`, and if a word has no `=`.
    """
    known = definition(name)
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise PbaError(
                f"--parameter {printable(word)} is no KEY=VALUE", f"pba policies {name} tells them"
            )
        if key in values:
            raise PbaError(f"--parameter {printable(key)} is given twice", "say it once")
        values[key] = _parsed(known.parameter(key), text)
    return Policy(name, **values)


def _parsed(parameter: Parameter | None, text: str) -> Any:
    """Return a text as a value of a parameter, or as it is where it cannot be one."""
    if parameter is None:
        return text
    if parameter.values is None:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    is_whole = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19
    return int(text) if isinstance(parameter.values[0], int) and is_whole else text
