"""When a job must save itself: its deadline, or a stop request."""

from __future__ import annotations

import time
from pathlib import Path

from autokd.core.errors import Paused

STOP_FILE = "stop"
_LOOK_EVERY_SECONDS = 0.5  # a file system call per step would cost more than it brings


class Watch:
    """Tells a job's loop whether to pause, from the job's own clock and the stop file in its folder."""

    def __init__(self, folder: Path, deadline_seconds: float) -> None:
        self._stop = folder / STOP_FILE
        self._started = time.monotonic()
        self._deadline = deadline_seconds
        self._looked = -_LOOK_EVERY_SECONDS
        self._asked = False

    @property
    def seconds(self) -> float:
        """Wall seconds since the job began."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """Wall seconds until the deadline, 0 after it."""
        return max(self._deadline - self.seconds, 0.0)

    def check(self) -> None:
        """Raises Paused where the job must save itself: for work that is made of small pieces."""
        if self.should_pause():
            raise Paused

    def should_pause(self) -> bool:
        """True once the deadline has passed or the stop file is there."""
        now = self.seconds
        if not self._asked and now - self._looked >= _LOOK_EVERY_SECONDS:
            self._looked = now
            self._asked = self._stop.exists()
        return self._asked or now >= self._deadline
