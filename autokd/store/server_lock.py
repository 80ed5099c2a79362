"""One driver at a time for a study on a database server, whichever machines share it.

The lock is a row of the study: who holds it, and a count that the holder raises every few seconds. The row only ever
changes by comparing and setting it in one statement, so that of two who want it one succeeds. No clock is compared
with another: a holder counts as dead once the row has stayed the same for ``STALE_SECONDS`` while somebody watched it,
and one that could not raise its count for half as long takes itself for dead.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import StudySystemAttributeModel as Attribute
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from autokd.core.errors import StorageError
from autokd.store.files import Location

BEAT_SECONDS = 3.0
STALE_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_KEY = "autokd:driver"


@dataclass(frozen=True)
class Holder:
    """What the row says; ``token`` empty: nobody holds the study."""

    token: str
    process: int = 0
    host: str = ""
    count: int = 0

    @staticmethod
    def parse(text: str | None) -> Holder:
        return Holder("") if text is None else Holder(**json.loads(text))

    @property
    def text(self) -> str:
        return json.dumps(vars(self))


class ServerLock:
    """Holds one study from entering to leaving. Not made to be entered twice."""

    def __init__(
        self,
        engine: Engine,
        study_id: int,
        study: str,
        beat_seconds: float = BEAT_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._engine, self._study_id, self._study = engine, study_id, study
        self._beat_seconds, self._stale_seconds = beat_seconds, stale_seconds
        self._mine = Holder(uuid.uuid4().hex, os.getpid(), platform.node())
        self._beaten = 0.0  # when the count was last raised, by this process's monotonic clock
        self._lost_to: Holder | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="server lock", daemon=True)

    def __enter__(self) -> ServerLock:
        """Take the study. Raises StorageError, naming the holder, where another driver holds it."""
        self._beaten = time.monotonic()
        text = self._read()
        if Holder.parse(text).token and self._changes(text):
            raise self._refusal(Holder.parse(self._read()))
        self._beaten = time.monotonic()
        if not self._set(text, self._mine.text):
            raise self._refusal(Holder.parse(self._read()))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Give the study back, unless it was taken away meanwhile. A server that is gone lets go of it in time."""
        self._over.set()
        self._thread.join()
        try:
            self._set(self._mine.text, Holder("").text)
        except SQLAlchemyError:
            return  # whoever comes next finds a count that does not change

    def require(self) -> None:
        """Raises StorageError where this process holds the study no more, or cannot know that it does."""
        if self._lost_to is not None:
            raise self._refusal(self._lost_to)
        silent = time.monotonic() - self._beaten
        if silent > self._stale_seconds / 2:
            raise StorageError(
                f"the storage was out of reach for {silent:.0f} seconds, and another driver may run study "
                f"{self._study!r} now; `autokd resume` goes on with it."
            )

    def _refusal(self, holder: Holder) -> StorageError:
        who = f"process {holder.process} on {holder.host}" if holder.token else "another process"
        return StorageError(f"study {self._study!r} is being run by {who}; one driver at a time may run it.")

    def _changes(self, text: str | None) -> bool:
        """Watch the row until it is another one, or for as long as a living holder never leaves it unchanged."""
        began = time.monotonic()
        while time.monotonic() - began <= self._stale_seconds:
            time.sleep(min(_LOOK_SECONDS, self._beat_seconds))
            if self._read() != text:
                return True
        return False

    def _beat(self) -> None:
        while not self._over.wait(self._beat_seconds):
            later = replace(self._mine, count=self._mine.count + 1)
            began = time.monotonic()
            try:
                if self._set(self._mine.text, later.text):
                    self._mine, self._beaten = later, began
                    continue
                found = self._read()
            except SQLAlchemyError:
                continue  # out of reach: tried again, until ``require`` has waited long enough
            if found == later.text:  # it was written, though the answer did not arrive
                self._mine, self._beaten = later, began
                continue
            self._lost_to = Holder.parse(found)
            return

    # ------------------------------------------------------------------------------------------ the row

    def _read(self) -> str | None:
        with self._engine.connect() as connection:
            found: str | None = connection.execute(select(Attribute.value_json).where(*self._row)).scalar()
        return found

    def _set(self, old: str | None, new: str) -> bool:
        """Change the row from ``old`` (None: there is none) to ``new``; whether it was ``old``."""
        try:
            with self._engine.begin() as connection:
                if old is None:
                    row = {"study_id": self._study_id, "key": _KEY, "value_json": new}
                    connection.execute(insert(Attribute).values(row))
                    return True
                changed = update(Attribute).where(*self._row, Attribute.value_json == old).values(value_json=new)
                return connection.execute(changed).rowcount == 1
        except IntegrityError:
            return False  # somebody else was first

    @property
    def _row(self) -> tuple[Any, Any]:
        return Attribute.study_id == self._study_id, Attribute.key == _KEY


def server_lock(backend: BaseStorage, study_id: int, study: str) -> ServerLock:
    """The lock of a study in a database: ``backend`` is what ``connect`` gives for a server."""
    database = getattr(backend, "_backend", backend)  # behind Optuna's cache
    assert isinstance(database, RDBStorage)
    return ServerLock(database.engine, study_id, study)


def alone(storage: str, backend: BaseStorage, study_id: int, study: str) -> AbstractContextManager[object]:
    """While a study is made: on a server no other machine makes one of its name, in a file the file's own lock does."""
    if Location.parse(storage).kind == "server":
        return server_lock(backend, study_id, study)
    return nullcontext()
