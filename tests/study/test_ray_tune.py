from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")

from autokd.study.places import Places
from autokd.study.ray_tune import RayRunner, connected, local_ray
from autokd.study.study import Runner
from autokd.testing.runners import RunnerContract, gone_in_time, run_toy, wait_for, worker_processes
from autokd.testing.toy import toy_settings
from autokd.testing.toy_work import WORK

_DRIVER = """
import sys
from pathlib import Path
from autokd.study.ray_tune import RayRunner
from autokd.testing.runners import run_toy
from autokd.testing.toy_work import WORK
run_toy(Path(sys.argv[1]), lambda places: RayRunner(places, WORK), "12trials", scale=0.2)
"""


@pytest.fixture(scope="module")
def _one_ray() -> Iterator[None]:
    """One Ray for all tests of this file: a runner uses the Ray that it finds."""
    with connected(address="local", num_cpus=2, include_dashboard=False):
        yield


@pytest.mark.parametrize(("workers", "share", "gpus"), [(3, 0.5, 2), (10, 0.1, 1), (3, 1 / 3, 1), (2, 1.0, 2)])
def test_ray_is_told_of_whole_gpus(tmp_path: Path, workers: int, share: float, gpus: int) -> None:
    settings = toy_settings("toy", tmp_path, "1gpu-min", device="gpu", workers=workers, gpus_per_trial=share)
    assert local_ray(settings)["num_gpus"] == gpus
    assert isinstance(local_ray(settings)["num_gpus"], int)
    assert local_ray(settings.with_changes(device="cpu"))["num_gpus"] == 0


@pytest.mark.usefixtures("_one_ray")
class TestRay(RunnerContract):
    @pytest.fixture
    def make(self) -> Callable[[Places], Runner]:
        return lambda places: RayRunner(places, WORK)


@pytest.mark.slow
def test_workers_end_when_their_driver_is_killed_and_the_study_goes_on(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(tmp_path)])
    wait_for(lambda: any(tmp_path.glob("*.files/studies/*/trials/*/position.json")))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    workers = worker_processes(tmp_path)
    assert workers
    assert gone_in_time(workers, 45.0)
    study = run_toy(tmp_path, lambda places: RayRunner(places, WORK), "12trials", scale=0.0)
    assert study.finished
    assert study.states["running"] == 0
    assert sum(r.role in ("search", "random") and r.state == "complete" for r in study.records) == 12


# A node whose memory counts as used up from the start: its guard kills every worker.
_STARVED = """
import os, sys
from pathlib import Path
import ray
from autokd.study.ray_tune import RayRunner, connected
from autokd.testing.runners import run_toy
from autokd.testing.toy_work import WORK
os.environ.update(RAY_memory_usage_threshold="0.001", RAY_memory_monitor_refresh_ms=sys.argv[2])
{before}
study = run_toy(Path(sys.argv[1]), lambda places: RayRunner(places, WORK), "4trials", scale=0.2)
print(dict(study.states))
"""


@pytest.mark.slow
def test_a_ray_of_the_studys_own_kills_no_worker_for_memory_that_others_use(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STARVED.format(before=""), str(tmp_path), "50"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "'failed': 0" in run.stdout


@pytest.mark.slow
def test_workers_killed_for_memory_by_a_cluster_are_failed_trials_with_that_cause(tmp_path: Path) -> None:
    started = "ray.init(address='local', num_cpus=2, include_dashboard=False, log_to_driver=False)"
    command = [sys.executable, "-c", _STARVED.format(before=started), str(tmp_path), "50"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "out of memory" in run.stderr.splitlines()[-1]
