"""A whole study of the workplace's csv in a few seconds: real jobs, run one after the other in this process."""

from __future__ import annotations

from autokd.core.job import Job, Outcome
from autokd.core.settings import DataSource
from autokd.runner import run_job
from autokd.store.files import DEFAULT_STORAGE
from autokd.store.study_store import StudyStore
from autokd.study.prepare import Request, prepare
from autokd.study.simulate import SimulatedRunner, VirtualClock
from autokd.study.study import run

STUDY = "first"
STORAGE = DEFAULT_STORAGE


def make_study(runner: SimulatedRunner | None = None) -> None:
    """Search in the current folder, a workplace; no forms are made of the finalists' checkpoints."""
    request = Request(DataSource("mine.csv"), "2trials", "teacher", "small.yaml", study=STUDY, workers=1, runner="pool")
    prepared = prepare(request)
    store = StudyStore.create(STORAGE, prepared.settings, prepared.space.holes)
    assert run(store, runner=runner or in_process()).finished


def in_process() -> SimulatedRunner:
    """A runner without workers."""
    return SimulatedRunner(1, VirtualClock(), _outcome)


def _outcome(job: Job) -> Outcome:
    if job.kind == "deploy":
        return Outcome("failed", 0.0, error="nothing is deployed here")
    return run_job(job, lambda progress: None)
