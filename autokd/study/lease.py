"""No worker outlives its driver: the driver keeps a file fresh, workers watch it, and the kernel helps where it can."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_SECONDS = 2.0
STALE_SECONDS = 30.0  # without a beat for so long by the watcher's own clock, the driver counts as dead
LOOK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def kept_fresh(lease: Path) -> Iterator[None]:
    """Touch the lease every few seconds, from a thread, whatever else the driver is busy with.

    Leases of earlier drivers beside it are removed: whoever gets here holds the study's lock.
    """
    lease.parent.mkdir(parents=True, exist_ok=True)
    for old in lease.parent.glob("lease-*"):
        old.unlink(missing_ok=True)
    lease.write_text(f"{os.getpid()}\n")
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            lease.touch()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lease.unlink(missing_ok=True)


class Watchdog:
    """Ends this process when the lease is gone or stale, or when ``parent`` (a process id) is its parent no more.

    The file's times are never compared with this machine's clock, which may differ from the driver's: what counts is
    whether they change.
    """

    def __init__(
        self,
        parent: int | None = None,
        stale_seconds: float = STALE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._parent, self._stale, self._look, self._end = parent, stale_seconds, look_seconds, end
        self._lease = ""
        self._seen: tuple[int, float] = (0, 0.0)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def watch(self, lease: str) -> None:
        """From now on this lease is what matters; an empty name: none."""
        if lease != self._lease:
            self._seen = (0, time.monotonic())
            self._lease = lease

    def _watch(self) -> None:
        while not self._orphaned():
            time.sleep(self._look)
        self._end(1)

    def _orphaned(self) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            return True
        return bool(self._lease) and self._is_stale(self._lease)

    def _is_stale(self, lease: str) -> bool:
        try:
            changed = os.stat(lease).st_mtime_ns
        except FileNotFoundError:
            changed = -1  # a finished driver removes it; one that starts again makes a new one
        now = time.monotonic()
        if changed != self._seen[0]:
            self._seen = (changed, now)
        return now - self._seen[1] > self._stale


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends (Linux), and look once whether it has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
