"""What a study has spent: settled jobs, jobs in flight, and wall time, in a form that survives the driver."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError
from autokd.study.policy import Purse


@dataclass(frozen=True)
class Spent:
    """Device seconds (devices x wall seconds of all jobs), wall seconds of all drivers, and search trials started."""

    device_seconds: float = 0.0
    wall_seconds: float = 0.0
    trials: int = 0

    def of(self, unit: str) -> float:
        """The amount in a limit's unit: ``gpu`` and ``cpu`` device seconds, ``wall`` seconds, ``trials`` a count."""
        if unit in ("gpu", "cpu"):
            return self.device_seconds
        return self.wall_seconds if unit == "wall" else float(self.trials)


class Ledger:
    """Charges jobs by the driver's own clock, whatever the workers say. ``start`` is what earlier drivers spent."""

    def __init__(self, clock: Callable[[], float], start: Spent) -> None:
        self._clock = clock
        self._began = clock()
        self._start = start
        self._settled = start.device_seconds
        self._trials = start.trials
        self._open: dict[str, tuple[float, float]] = {}  # job: devices, when it began

    def open(self, job: str, devices: float) -> None:
        """A job begins: from now on it costs ``devices`` per second."""
        self._open[job] = (devices, self._clock())

    def close(self, job: str) -> float:
        """A job ended: its device seconds, now settled."""
        cost = self.cost(job)
        del self._open[job]
        self._settled += cost
        return cost

    def cost(self, job: str) -> float:
        """Device seconds that a job in flight has used so far."""
        devices, began = self._open[job]
        return devices * (self._clock() - began)

    def count_trial(self) -> None:
        """One more search trial was started."""
        self._trials += 1

    @property
    def spent(self) -> Spent:
        """Everything so far, jobs in flight included."""
        flying = sum(self.cost(job) for job in self._open)
        return Spent(self._settled + flying, self._start.wall_seconds + self._clock() - self._began, self._trials)

    def to_json(self) -> dict[str, float]:
        spent = self.spent
        return {"device_seconds": spent.device_seconds, "wall_seconds": spent.wall_seconds, "trials": spent.trials}


def spent_from_json(value: Mapping[str, float] | None) -> Spent:
    """The last journalled state, nothing where there is none."""
    if value is None:
        return Spent()
    return Spent(value["device_seconds"], value["wall_seconds"], int(value["trials"]))


def purse(budget: Budget, spent: Spent, committed: float, capacity: float) -> Purse:
    """The tightest of a budget's limits as device seconds. ``capacity`` is how many devices there are: an hour of wall
    time is worth that many device hours, used or not."""
    trials = budget.limit("trials")
    trials_left = math.inf if trials is None else trials - spent.trials
    purses = [Purse(math.inf, spent.device_seconds, committed, trials_left)]
    if budget.device is not None:
        purses.append(Purse(_amount(budget, budget.device), spent.device_seconds, committed, trials_left))
    wall = budget.limit("wall")
    if wall is not None:
        purses.append(Purse(wall * capacity, spent.wall_seconds * capacity, committed, trials_left))
    return min(purses, key=lambda each: each.left)


def binding(budget: Budget, spent: Callable[[str], float]) -> tuple[float, float, str]:
    """``(limit, spent, unit)`` of the limit of which the largest share is used, in the unit that the user wrote.

    ``spent`` tells the amount spent in a limit's base unit (seconds, or a count).
    """
    best = max(budget.limits, key=lambda limit: spent(limit.unit) / limit.amount)
    for part in budget.text.split(","):
        text = part.strip()
        if Budget.parse(text).limits[0].unit == best.unit:
            number = float(text.rstrip("abcdefghijklmnopqrstuvwxyz- "))
            unit = text[len(text.rstrip("abcdefghijklmnopqrstuvwxyz-")) :]
            return number, spent(best.unit) * number / best.amount, unit
    raise BudgetError(f"a budget must name the unit {best.unit!r}, but got {budget.text!r}.")


def _amount(budget: Budget, unit: str) -> float:
    return next(limit.amount for limit in budget.limits if limit.unit == unit)
