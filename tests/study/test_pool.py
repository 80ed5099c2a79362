from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autokd.core.errors import AutokdError
from autokd.study.places import Places
from autokd.study.pool import PoolRunner
from autokd.study.study import Runner
from autokd.testing.runners import RunnerContract, gone_in_time, run_toy, wait_for
from autokd.testing.toy_work import WORK

_DRIVER = """
import sys
from pathlib import Path
from autokd.study.pool import PoolRunner
from autokd.testing.runners import run_toy
from autokd.testing.toy_work import WORK
run_toy(Path(sys.argv[1]), lambda places: PoolRunner(2, places, work=WORK), "12trials", scale=0.2)
"""


class TestPool(RunnerContract):
    @pytest.fixture
    def make(self) -> Callable[[Places], Runner]:
        return lambda places: PoolRunner(2, places, work=WORK)


def test_workers_that_cannot_start_are_an_error_with_their_last_words(tmp_path: Path) -> None:
    with pytest.raises(AutokdError, match="no_such_module"):
        run_toy(tmp_path, lambda places: PoolRunner(2, places, work="no_such_module:work"), "3trials")


def test_a_worker_that_is_killed_while_it_starts_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "started"
    (tmp_path / "killed_once.py").write_text(
        "import os\nfrom pathlib import Path\nfrom autokd.testing.toy_work import toy_job\n"
        f"marker = Path({str(marker)!r})\n"
        "if not marker.exists():\n    marker.touch()\n    os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    study = run_toy(tmp_path, lambda places: PoolRunner(1, places, work="killed_once:toy_job"), "2trials", scale=0.0)
    assert marker.exists()
    assert study.finished


def test_each_worker_is_given_one_of_several_gpus(tmp_path: Path) -> None:
    runner = PoolRunner(4, Places(tmp_path, "toy"), visible_gpus=("0", "3"))
    assert [runner.environment(seat)["CUDA_VISIBLE_DEVICES"] for seat in range(4)] == ["0", "3", "0", "3"]


def test_workers_end_when_their_driver_is_killed_and_the_study_goes_on(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(tmp_path)])
    workers = _children(driver.pid, 2)
    wait_for(lambda: any(tmp_path.glob("*.files/studies/*/trials/*/position.json")))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert gone_in_time(workers, 5.0)
    study = run_toy(tmp_path, lambda places: PoolRunner(2, places, work=WORK), "12trials", scale=0.0)
    assert study.finished
    assert study.states["running"] == 0
    assert sum(r.role in ("search", "random") and r.state == "complete" for r in study.records) == 12


def _children(process: int, count: int) -> set[int]:
    """The worker processes of a driver, once there are so many."""
    path = Path(f"/proc/{process}/task/{process}/children")
    wait_for(lambda: len(path.read_text().split()) >= count)
    return set(map(int, path.read_text().split()))
