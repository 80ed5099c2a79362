"""A clock that never goes back, whatever the one below it does."""

from __future__ import annotations

from collections.abc import Callable


class Forward:
    """Seconds that pass on ``clock``. Where that one jumps back, time goes on from where it was."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._lost = 0.0

    def __call__(self) -> float:
        now = self._clock()
        self._lost += max(0.0, self._last - now)
        self._last = now
        return now + self._lost
