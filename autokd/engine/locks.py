"""A lock between processes that its owner's death frees, and that whoever waits for it can give up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autokd.core.errors import Paused


@contextmanager
def held(path: Path, should_pause: Callable[[], bool], what: str) -> Iterator[None]:
    """Hold the lock at ``path``. Raises Paused when asked to stop while another worker computes ``what``."""
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if should_pause():
                raise Paused(f"while another worker computes {what}") from None
    try:
        yield
    finally:
        lock.release()
