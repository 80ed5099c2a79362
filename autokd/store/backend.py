"""Connections to the storages that Optuna knows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from sqlalchemy import event

from autokd.core.disk import NO_ROOM
from autokd.core.errors import AutokdError, StorageError
from autokd.store.files import Location, redacted

_BUSY_SECONDS = 30.0
_JOURNAL_START = b'{"op_code":'


def connect(storage: str, *, create: bool) -> BaseStorage:
    """Optuna's storage at a location. ``create`` makes a missing file and its folder.

    Raises UsageError for a location of unknown form and StorageError for one that cannot be reached.
    """
    place = Location.parse(storage)
    if place.path is not None:
        if create:
            place.path.parent.mkdir(parents=True, exist_ok=True)
        elif not place.path.is_file():
            raise StorageError(f"there is no storage at {str(place.path)!r}.")
    with reported(storage):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if place.kind == "journal":
            assert place.path is not None
            return _journal(place.path)
        if place.kind == "sqlite":
            return get_storage(_sqlite(place.url))
        return get_storage(RDBStorage(place.url, engine_kwargs={"pool_pre_ping": True}))


@contextmanager
def reported(storage: str) -> Iterator[None]:
    """Turns whatever a storage raises into a StorageError of one line that holds no password."""
    try:
        yield
    except AutokdError:
        raise
    except ImportError:
        raise StorageError(
            f"the storage {redacted(storage)!r} needs a database driver for Python; pip install psycopg[binary]."
        ) from None
    except Exception as error:
        # The original is left out on purpose: database drivers print the whole URL.
        raise StorageError(redacted(f"the storage {storage!r} {_reason(error)}")) from None


def _reason(error: BaseException) -> str:
    """What went wrong below Optuna, which wraps some errors of a database into one that explains nothing."""
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    if any(text in str(one) for one in chain for text in (NO_ROOM, "disk is full")):
        return "cannot be written: the disk is full."
    told = next((one for one in chain if not isinstance(one, StorageInternalError)), error)
    # What the database itself said, or the operating system, without its wrapper's words.
    said = str(getattr(told, "orig", None) or getattr(told, "strerror", None) or told).strip()
    return f"failed: {(said.splitlines() or [type(told).__name__])[0].rstrip('.')}."


def _sqlite(url: str) -> RDBStorage:
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})
    storage.engine.dispose()  # connections made so far have not seen the settings below
    event.listen(storage.engine, "connect", _tune)
    return storage


def _tune(connection: Any, _: Any) -> None:
    """Write-ahead logging: a write costs a third, and readers (dashboards) never block the driver.

    It survives a killed process; file systems that cannot share memory keep SQLite's default.
    """
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    except sqlite3.OperationalError:
        return
    if mode == "wal":
        connection.execute("PRAGMA synchronous=NORMAL")


class _KernelLock(BaseJournalFileLock):
    """A journal's lock that the operating system frees when its holder dies.

    Optuna's own locks are files that a killed process leaves behind, and whoever comes next waits for them.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(path.name + ".guard"), timeout=_BUSY_SECONDS)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


class _WholeLines(JournalFileBackend):
    """Takes back the part of a line that a full disk let through: the next line would be lost behind it."""

    def __init__(self, path: str, lock: _KernelLock) -> None:
        super().__init__(path, lock_obj=lock)
        self._path, self._guard = Path(path), lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._guard.acquire()  # its holder may take it again
        try:
            size = self._path.stat().st_size
            try:
                super().append_logs(logs)
            except OSError:
                os.truncate(self._path, size)
                raise
        finally:
            self._guard.release()


def _journal(path: Path) -> JournalStorage:
    lock = _KernelLock(path)
    if path.is_file():
        lock.acquire()
        try:
            _refuse_other_file(path)
            cut_torn_line(path)
        finally:
            lock.release()
    return JournalStorage(_WholeLines(str(path), lock))


def _refuse_other_file(path: Path) -> None:
    """Raises StorageError for somebody else's file, such as a program's log: a journal's lines are Optuna's own."""
    with path.open("rb") as file:
        start = file.read(len(_JOURNAL_START))
    if not _JOURNAL_START.startswith(start):
        raise StorageError(f"a journal holds what Optuna wrote and nothing else, but {str(path)!r} is another file.")


def cut_torn_line(path: Path) -> None:
    """Remove a last line that its writer could not finish: a line appended behind it would be lost with it."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        tail = 0
        while tail < size:
            tail = min(size, max(4096, 2 * tail))
            file.seek(size - tail)
            end = file.read(tail).rfind(b"\n")
            if end >= 0:
                keep = size - tail + end + 1
                break
        else:
            keep = 0
        if keep < size:
            file.truncate(keep)
