"""One driver at a time for each study."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autokd.core.canonical import digest
from autokd.core.errors import StorageError


@contextmanager
def study_lock(files: Path, study: str) -> Iterator[None]:
    """Hold a study for one driver. The operating system frees the lock when its holder dies, however it dies.

    Raises StorageError, naming the holder, where another driver holds it.
    """
    folder = files / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest(study)}.lock"
    # Beside the lock and not in it: opening the lock file truncates it.
    holder = path.with_suffix(".holder")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text() if holder.is_file() else "another process"
        raise StorageError(f"study {study!r} is being run by {who}; one driver at a time may run it.") from None
    try:
        holder.write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        lock.release()
