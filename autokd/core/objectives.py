"""What a study optimises and what it rules out, by the names that users write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import le

from autokd.core.errors import UsageError, unknown
from autokd.core.settings import OBJECTIVES

# Where the value of an objective stands among a trial's measured values.
MEASURED = {name: {"score": "valid_score", "latency": "latency_ms"}.get(name, name) for name in OBJECTIVES}

_FORM = re.compile(r"\s*(?P<name>\w+)\s*(?P<sign><=|>=)\s*(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on an objective: ``params<=15e6``, ``score>=0.8``, ``latency<=5`` (milliseconds)."""

    text: str
    name: str
    limit: float
    upper: bool

    @staticmethod
    def parse(text: str) -> Constraint:
        """Read ``NAME<=NUMBER`` or ``NAME>=NUMBER``. Raises UsageError for another form or an unknown name."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"a constraint has the form NAME<=NUMBER or NAME>=NUMBER, but got {text!r}.")
        allowed = [*OBJECTIVES]
        if match["name"] not in allowed:
            raise UsageError(unknown("quantity in a constraint", match["name"], allowed))
        return Constraint(text.replace(" ", ""), match["name"], float(match["number"]), match["sign"] == "<=")

    def excess(self, values: Mapping[str, float]) -> float | None:
        """How far measured values break the bound (at most 0: they keep it), None where they do not tell."""
        value = values.get(MEASURED.get(self.name, self.name))
        if value is None or not math.isfinite(value):
            return None
        return value - self.limit if self.upper else self.limit - value


def check_constraints(texts: Sequence[str]) -> None:
    """Raises UsageError for a constraint of another form, and for bounds that no value can keep together."""
    bounds = [Constraint.parse(text) for text in texts]
    for low in (bound for bound in bounds if not bound.upper):
        for high in (bound for bound in bounds if bound.upper and bound.name == low.name):
            if low.limit > high.limit:
                raise UsageError(f"constraints must leave some values, but {low.text!r} and {high.text!r} leave none.")


def excesses(constraints: Sequence[str], values: Mapping[str, float]) -> dict[str, float]:
    """What ``TrialRecord.constraints`` holds: the excess over each constraint that the values tell about."""
    parsed = (Constraint.parse(text) for text in constraints)
    return {bound.text: excess for bound in parsed if (excess := bound.excess(values)) is not None}


def objective_values(objectives: Sequence[str], values: Mapping[str, float]) -> list[float] | None:
    """The objectives' values in order, None where one of them is missing or not finite."""
    found = [values.get(MEASURED[name]) for name in objectives]
    known = [float(value) for value in found if value is not None and math.isfinite(value)]
    return known if len(known) == len(objectives) else None


def pareto(values: Sequence[Sequence[float]], objectives: Sequence[str]) -> list[int]:
    """Positions of the rows that no other row dominates, in ascending order; rows are objectives' values in order.

    A row dominates another that it equals or betters in every objective and betters in one; equal rows both stay.
    """
    signs = [-1.0 if OBJECTIVES[name] == "maximize" else 1.0 for name in objectives]
    costs = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in values]
    front: list[int] = []
    # Best first objective first: whatever dominates a row stands before it, and so does something on the front.
    for i in sorted(range(len(costs)), key=lambda i: costs[i]):
        if not any(costs[j] != costs[i] and all(map(le, costs[j], costs[i])) for j in front):
            front.append(i)
    return sorted(front)
