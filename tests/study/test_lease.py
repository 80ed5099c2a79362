from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from autokd.study.lease import Watchdog, kept_fresh
from autokd.study.places import Places


class Ends:
    """Notes that a watchdog ended the process, and lets its thread go."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def __call__(self, code: int) -> None:
        self.codes.append(code)

    def within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self.codes and time.monotonic() < until:
            time.sleep(0.02)
        return bool(self.codes)


def test_a_lease_is_there_while_it_is_kept_and_names_its_driver(tmp_path: Path) -> None:
    lease = tmp_path / "study" / "lease"
    with kept_fresh(lease):
        assert lease.read_text().strip() == str(os.getpid())
    assert not lease.exists()


def test_a_new_driver_has_a_lease_of_its_own_and_ends_the_one_before(tmp_path: Path) -> None:
    code = "import sys, pathlib, autokd.study.places as p; print(p.Places(pathlib.Path(sys.argv[1]), 'a').lease)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    other = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    mine = Places(tmp_path, "a").lease
    assert other.parent == mine.parent
    assert other != mine
    other.parent.mkdir(parents=True)
    other.touch()
    with kept_fresh(mine):
        assert not other.exists()


def test_a_stale_lease_ends_the_worker_whatever_the_clocks_say(tmp_path: Path) -> None:
    lease, ends = tmp_path / "lease", Ends()
    lease.touch()
    os.utime(lease, (2e9, 2e9))  # a driver whose clock is years ahead
    Watchdog(stale_seconds=0.2, look_seconds=0.05, end=ends).watch(str(lease))
    assert ends.within(5.0)


def test_a_lease_that_is_gone_ends_the_worker(tmp_path: Path) -> None:
    ends = Ends()
    Watchdog(stale_seconds=0.2, look_seconds=0.05, end=ends).watch(str(tmp_path / "none"))
    assert ends.within(5.0)


def test_a_fresh_lease_lets_the_worker_be(tmp_path: Path) -> None:
    lease, ends = tmp_path / "lease", Ends()
    Watchdog(stale_seconds=3.0, look_seconds=0.05, end=ends).watch(str(lease))
    for _ in range(10):
        lease.touch()
        time.sleep(0.05)
    assert not ends.codes


def test_another_parent_ends_the_worker() -> None:
    ends = Ends()
    Watchdog(parent=os.getppid() + 1, look_seconds=0.05, end=ends)
    assert ends.within(5.0)
