"""How long a loop is, and whether that is enough for the methods in it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from autokd.contracts import Method, NeedsSteps


def batches_of(n_rows: int, batch_size: int) -> int:
    """Steps of an epoch in which every row comes once."""
    return math.ceil(n_rows / batch_size)


def n_steps(epochs: float, steps_per_epoch: int) -> int:
    """Steps of a loop of so many epochs, at least one."""
    return max(1, round(min(epochs * steps_per_epoch, sys.maxsize)))  # epochs may be any finite number


def require_steps(n_steps: int, methods: Iterable[Method]) -> None:
    """Raises SpecError where a loop of so many steps is too short for one of the methods that work in it."""
    for method in methods:
        if isinstance(method, NeedsSteps):
            method.check_steps(n_steps)
