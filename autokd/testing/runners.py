"""The contract of a runner, as tests: subclass ``RunnerContract`` in a test file and say how the runner is made.

A runner has ``run(driver, settings)``: it carries the driver's jobs to workers until the driver has finished.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import AutokdError
from autokd.core.job import Job, Outcome, Progress
from autokd.store.study_store import StudyStore
from autokd.study.places import Places
from autokd.study.result import Study
from autokd.study.study import Listener, Runner, drive
from autokd.study.view import StudyView
from autokd.testing.toy import ToyAppraiser, toy_interval, toy_settings, toy_space, toy_store

_GONE_SECONDS = 20.0


def run_toy(
    folder: Path,
    make: Callable[[Places], Runner],
    budget: str,
    *behaviours: str,
    scale: float = 0.02,
    on_event: Listener = lambda view: None,
) -> Study:
    """Run, or go on with, the toy study in this folder on two workers. A layer takes ``scale`` seconds."""
    (folder / "scale").write_text(json.dumps(scale))
    storage = str(folder / "studies.journal")
    if Path(storage).exists():
        store = StudyStore.open(storage, "toy")
    else:
        store = toy_store(storage, toy_settings("toy", folder, budget, space_text=toy_space(*behaviours)))
    places = Places(store.files, "toy")
    appraiser = ToyAppraiser(store.settings, places.cache)
    with store.lock():
        return drive(store, appraiser, make(places), toy_interval, on_event)


def worker_processes(folder: Path) -> set[int]:
    """The processes that ran jobs of the toy study in this folder."""
    return {int(path.name) for path in (folder / "workers").iterdir() if path.name.isdigit()}


def alive(process: int) -> bool:
    """Whether a process runs (one that has ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone_in_time(processes: set[int], seconds: float = _GONE_SECONDS) -> bool:
    """Whether all of them end within some seconds."""
    until = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(map(alive, processes))


def wait_for(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until something holds. Raises TimeoutError where it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(0.05)


class Interruption:
    """Presses Ctrl-C once, as soon as two trials run."""

    def __init__(self) -> None:
        self._done = False

    def __call__(self, view: StudyView) -> None:
        if not self._done and view.counts["running"] == 2:
            self._done = True
            os.kill(os.getpid(), signal.SIGINT)


class Crowd:
    """A driver that hands out a given number of jobs, and counts how many are out at once."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs
        self.out: Counter[str] = Counter()
        self.most = 0
        self.outcomes: dict[str, Outcome] = {}

    @property
    def finished(self) -> bool:
        return not self._jobs and not self.out

    def next_job(self) -> Job | None:
        if not self._jobs:
            return None
        job = self._jobs.pop(0)
        self.out[job.id] += 1
        self.most = max(self.most, self.out.total())
        return job

    def progress(self, job_id: str, progress: Progress) -> None:
        assert job_id in self.out

    def done(self, job_id: str, outcome: Outcome) -> None:
        del self.out[job_id]
        self.outcomes[job_id] = outcome

    def tick(self) -> None:
        """Nothing is timed here."""


class RunnerContract:
    """What holds for every runner that has workers of its own."""

    @pytest.fixture
    def make(self) -> Callable[[Places], Runner]:
        """How the runner under test is made, with two workers that run ``toy_job``."""
        raise NotImplementedError

    def test_a_study_runs_to_its_end_and_keeps_its_workers(self, tmp_path: Path, make: Any) -> None:
        study = run_toy(tmp_path, make, "5trials")
        assert study.states["complete"] == len(study.records)
        assert study.front
        assert len(study.controls) == 2
        assert 1 <= len(worker_processes(tmp_path)) <= 4  # two, and others where a runner let one go between phases
        assert gone_in_time(worker_processes(tmp_path))

    def test_a_worker_that_dies_fails_its_trial_only(self, tmp_path: Path, make: Any) -> None:
        study = run_toy(tmp_path, make, "8trials", "plain", "die")
        died = [r for r in study.records if r.state == "failed"]
        assert died
        assert all(r.error.startswith("worker died") and r.params["behaviour"] == "die" for r in died)
        assert study.front

    def test_as_many_jobs_as_workers_run_at_once(self, tmp_path: Path, make: Any) -> None:
        settings = toy_settings("toy", tmp_path, "5trials")
        places = Places(tmp_path / "files", "toy")
        spec = ToyAppraiser(settings, places.cache).spec({"stages": [{}, {"layers": 1, "behaviour": "plain"}]}, 0)
        jobs = [Job(f"probe-{k}", "probe", spec, str(tmp_path / str(k)), 60.0) for k in range(5)]
        crowd = Crowd(jobs)
        make(places).run(crowd, settings)
        assert set(crowd.outcomes) == {f"probe-{k}" for k in range(5)}
        assert all(outcome.state == "complete" for outcome in crowd.outcomes.values())
        assert crowd.most <= 2

    def test_an_interrupted_study_saves_its_trials_and_goes_on(self, tmp_path: Path, make: Any) -> None:
        stopped = run_toy(tmp_path, make, "4trials", scale=0.3, on_event=Interruption())
        assert not stopped.finished
        assert stopped.states["running"] == 0
        paused = {r.number for r in stopped.records if r.state == "paused"}
        assert paused
        study = run_toy(tmp_path, make, "4trials")
        assert study.finished
        assert all(study.records[number].state == "complete" for number in paused)
        assert sum(r.role in ("search", "random") for r in study.records) == 4

    def test_an_error_of_the_study_leaves_no_worker_behind(self, tmp_path: Path, make: Any) -> None:
        with pytest.raises(AutokdError, match="this toy raises"):
            run_toy(tmp_path, make, "20trials", "raise")
        store = StudyStore.open(str(tmp_path / "studies.journal"), "toy")
        assert not any(record.state == "running" for record in store.records())
        assert gone_in_time(worker_processes(tmp_path))
