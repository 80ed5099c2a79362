"""Budgets: how much may be spent, in the units people plan with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from autokd.core.errors import BudgetError

Unit = Literal["gpu", "cpu", "wall", "trials"]
_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0}
_FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>gpu-h|gpu-min|cpu-h|cpu-min|h|min|s|trials)")


@dataclass(frozen=True)
class Limit:
    """One limit. ``amount`` is in seconds (device seconds for gpu and cpu), or a number of trials."""

    unit: Unit
    amount: float


@dataclass(frozen=True)
class Budget:
    """Limits that all hold at once; the first one reached ends the search. ``text`` is what the user wrote."""

    text: str
    limits: tuple[Limit, ...]

    @staticmethod
    def parse(text: str) -> Budget:
        """Read ``"8gpu-h"``, ``"40cpu-min"``, ``"15min"``, ``"200trials"``, or several joined by commas.

        Raises BudgetError for anything else, for zero, for the same unit named twice, and for both kinds of devices.
        """
        limits: dict[Unit, Limit] = {}
        for part in text.split(","):
            match = _FORM.fullmatch(part.strip())
            if match is None:
                raise BudgetError(
                    f"a budget is a number and a unit, but got {part.strip()!r}. "
                    "Examples: 8gpu-h, 30gpu-min, 20cpu-min, 15min, 200trials, or several joined by commas."
                )
            limit = _limit(float(match["number"]), match["unit"])
            if limit.amount <= 0:
                raise BudgetError(f"a budget must be above zero, but got {part.strip()!r}.")
            if limit.unit in limits:
                raise BudgetError(f"a budget names each unit once, but {text!r} names {limit.unit!r} twice.")
            limits[limit.unit] = limit
        if "gpu" in limits and "cpu" in limits:
            raise BudgetError(f"a budget limits GPU time or CPU time, but {text!r} limits both.")
        return Budget(text, tuple(limits.values()))

    def limit(self, unit: Unit) -> float | None:
        """The amount allowed in one unit, None where that unit is not limited."""
        return next((limit.amount for limit in self.limits if limit.unit == unit), None)

    def exceeds(self, other: Budget) -> bool:
        """Whether this budget allows more than another one: a limit of that one is larger here, or gone."""
        amounts = [(self.limit(limit.unit), limit.amount) for limit in other.limits]
        return any(amount is None or amount > before for amount, before in amounts)

    @property
    def device(self) -> Literal["gpu", "cpu"] | None:
        """The device whose time is limited, None where only wall time or trials are."""
        return next((limit.unit for limit in self.limits if limit.unit in ("gpu", "cpu")), None)

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Budget:
        return Budget.parse(value["text"])


def _limit(number: float, unit: str) -> Limit:
    if unit == "trials":
        if number != int(number):
            raise BudgetError(f"a number of trials must be whole, but got {number}.")
        return Limit("trials", number)
    kind, _, scale = unit.rpartition("-")
    return Limit(kind or "wall", number * _SECONDS[scale])  # type: ignore[arg-type]
