"""The open places of a search space, as plain values: what a parameter may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autokd.core.errors import SpecError

Scalar = str | int | float | bool | None


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal, with ``True`` apart from ``1`` (and ``1`` equal to ``1.0``)."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


@dataclass(frozen=True)
class Choice:
    """One of several options, named by plain values. An order is a choice among permutations of its items' names."""

    name: str
    options: tuple[Scalar, ...]

    @property
    def first(self) -> Scalar:
        """The option that comes first."""
        return self.options[0]

    def allows(self, value: Any) -> bool:
        return any(same(option, value) for option in self.options)

    def describe(self) -> str:
        return "one of " + ", ".join(repr(option) for option in self.options)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "options": list(self.options)}


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; drawn evenly on a logarithmic scale where ``log``."""

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    @property
    def first(self) -> float:
        """The lower end."""
        return self.low

    @property
    def middle(self) -> float:
        """The middle of the scale that values are drawn on."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.integer else middle

    def allows(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.integer or value == int(value))

    def describe(self) -> str:
        return f"{'a whole number' if self.integer else 'a number'} from {self.low} to {self.high}"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "low": self.low, "high": self.high, "log": self.log, "integer": self.integer}


Hole = Choice | Range


def hole_from_json(value: Mapping[str, Any]) -> Hole:
    """The hole that ``to_json`` wrote. Raises SpecError for anything else."""
    try:
        if "options" in value:
            return Choice(value["name"], tuple(value["options"]))
        return Range(**value)
    except (KeyError, TypeError) as error:
        raise SpecError(f"a hole has a name and either options or low and high, but got {value!r}.") from error
