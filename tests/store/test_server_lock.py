"""The lock of a study on a server; a database file that two processes open stands for the server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

from autokd.core.errors import StorageError
from autokd.core.settings import StudySettings
from autokd.store import StudyStore
from autokd.store.files import Location
from autokd.store.server_lock import ServerLock

URL = "sqlite:///server.db"
BEAT, STALE = 0.1, 1.0


@pytest.fixture
def lock() -> Iterator[Callable[..., ServerLock]]:
    """Makes locks of one study, each with a connection of its own, as on a machine of its own."""
    optuna.create_study(storage=URL, study_name="first")
    opened = []

    def make(beat_seconds: float = BEAT, stale_seconds: float = STALE) -> ServerLock:
        opened.append(RDBStorage(URL).engine)
        return ServerLock(opened[-1], 1, "first", beat_seconds, stale_seconds)

    yield make
    for engine in opened:
        engine.dispose()


def test_one_driver_holds_a_study_until_it_gives_it_back(lock: Callable[..., ServerLock]) -> None:
    with lock() as held:
        held.require()
        with pytest.raises(StorageError, match="is being run by process"), lock():
            raise AssertionError
        time.sleep(1.5 * STALE)  # however long it takes
        held.require()
        with pytest.raises(StorageError, match="is being run by process"), lock():
            raise AssertionError
    began = time.monotonic()
    with lock():
        assert time.monotonic() - began < STALE / 2  # what was given back needs no watching


@pytest.mark.parametrize("round_", range(3))
def test_of_many_who_want_a_study_at_once_one_gets_it(lock: Callable[..., ServerLock], round_: int) -> None:
    locks, got, ready = [lock() for _ in range(6)], [], threading.Barrier(6)
    done = threading.Event()

    def want(one: ServerLock) -> None:
        ready.wait()
        try:
            with one:
                got.append(one)
                done.wait(20)
        except StorageError:
            pass
        finally:
            refused.release()

    refused = threading.Semaphore(0)
    threads = [threading.Thread(target=want, args=(one,)) for one in locks]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert refused.acquire(timeout=20)
    assert len(got) == 1
    done.set()
    for thread in threads:
        thread.join()


HOLD = """
import sys, time
from optuna.storages import RDBStorage
from autokd.store.server_lock import ServerLock
with ServerLock(RDBStorage(sys.argv[1]).engine, 1, "first", 0.1, 1.0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds the study."""
    with subprocess.Popen([sys.executable, "-c", HOLD, URL], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_killed_holders_study_is_free_once_its_count_has_stood_still(
    lock: Callable[..., ServerLock], holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StorageError, match=f"process {holder.pid} "), lock():
        raise AssertionError
    holder.send_signal(signal.SIGKILL)
    began = time.monotonic()
    with lock() as mine:
        mine.require()
        assert time.monotonic() - began > STALE / 2


def test_a_holder_that_was_stopped_for_long_knows_that_it_may_not_write(lock: Callable[..., ServerLock]) -> None:
    with lock(beat_seconds=60.0, stale_seconds=0.6) as slow:  # as a process that the machine has suspended
        slow.require()
        time.sleep(0.4)
        with pytest.raises(StorageError, match="out of reach"):
            slow.require()
        with lock(stale_seconds=0.6), pytest.raises(StorageError, match="out of reach"):
            slow.require()
        with lock():  # what the slow one leaves is not its own any more
            pass


def test_a_holder_whose_study_was_taken_says_who_has_it(lock: Callable[..., ServerLock]) -> None:
    with lock() as first:
        with first._engine.begin() as connection:
            connection.exec_driver_sql(
                "update study_system_attributes set value_json = "
                '\'{"token": "other", "process": 7, "host": "far", "count": 1}\' where key = \'autokd:driver\''
            )
        time.sleep(4 * BEAT)
        with pytest.raises(StorageError, match="is being run by process 7 on far"):
            first.require()


@pytest.fixture
def shared(settings: StudySettings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], StudyStore]:
    """Opens one study with a folder of artifacts of its own, as each machine would: the storage counts as a server."""
    parse = Location.parse
    monkeypatch.setattr(Location, "parse", lambda text: Location("server", parse(text).url))
    monkeypatch.setattr("autokd.store.server_lock.BEAT_SECONDS", BEAT)
    monkeypatch.setattr(ServerLock.__init__, "__defaults__", (BEAT, STALE))
    Path("one").mkdir()
    StudyStore.create(URL, settings, (), "one")
    return lambda artifacts: StudyStore.open(URL, settings.study, artifacts)


def test_two_machines_with_folders_of_their_own_never_drive_one_study(shared: Callable[[str], StudyStore]) -> None:
    here, there = shared("one"), shared("two")
    with here.lock():
        here.put("notes", ["mine"])
        with pytest.raises(StorageError, match="one driver at a time"), there.lock():
            raise AssertionError
    with there.lock():
        there.put("notes", ["theirs"])
    assert shared("one").get("notes") == ["theirs"]


def test_a_driver_that_has_lost_its_study_writes_nothing_more(shared: Callable[[str], StudyStore]) -> None:
    here = shared("one")
    with here.lock():
        held: Any = here._held
        held._beaten -= STALE  # nothing was heard of the server for so long
        with pytest.raises(StorageError, match="another driver may run"):
            here.put("notes", ["mine"])
        with pytest.raises(StorageError, match="another driver may run"):
            here.start({"stages": []})
    assert shared("one").get("notes") is None
