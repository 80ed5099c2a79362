"""The Ray runner: each job is one Ray Tune trial in a worker that is kept. The only file that imports ray.

Ray only carries jobs. What to try, when to stop, what is true after a crash: all of that is the driver's, and the
Optuna study's. Tune's own snapshots are never read; a resumed study is a new Tuner for what is left.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from autokd.core.errors import AutokdError
from autokd.core.job import Job, Outcome, Progress
from autokd.core.settings import StudySettings
from autokd.study.causes import CRASHED
from autokd.study.lease import Watchdog, kept_fresh
from autokd.study.machine import WORKER_ENVIRONMENT
from autokd.study.places import Places
from autokd.study.pool import Driver
from autokd.study.ray_address import require_listener
from autokd.study.worker import RUN_JOB, run_safely, work_function

_PROGRESS_FILE = "progress.jsonl"
_ROUNDING = 1e-9
_QUIET = {
    **WORKER_ENVIRONMENT,
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's own guard kills workers for memory that strangers use, and Tune gives up the whole run where it does; the
    # kernel kills one worker, which is one failed trial.
    "RAY_memory_monitor_refresh_ms": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the driver's own handler lets workers save themselves
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # its snapshots are never read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class JobTrainable(tune.Trainable):
    """Runs one job per Tune trial; Ray hands the same process one trial after the other."""

    def setup(self, config: dict[str, Any]) -> None:
        self._watchdog = Watchdog()
        self._work = work_function(config["work"])

    def step(self) -> dict[str, Any]:
        """The whole job. Never raises for the job's own failures."""
        job = Job.from_json(json.loads(self.config["job"]))
        self._watchdog.watch(job.lease)
        progress = Path(job.folder) / _PROGRESS_FILE
        progress.parent.mkdir(parents=True, exist_ok=True)

        def report(value: Progress) -> None:
            with progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(value)) + "\n")

        outcome = run_safely(self._work, job, report)
        progress.unlink(missing_ok=True)
        return {"outcome": json.dumps(outcome.to_json()), "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True


class JobSearcher(Searcher):
    """Hands the driver's jobs to Tune and Tune's results to the driver. Keeps no state worth saving."""

    def __init__(self, driver: Driver, work: str, workers: int) -> None:
        super().__init__()
        self._driver, self._work, self._workers = driver, work, workers
        self._read: dict[str, int] = {}
        self.jobs: dict[str, Job] = {}
        self.errors: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next job as a trial's configuration, None where none can start now."""
        if self._driver.finished:
            return Searcher.FINISHED
        # No job is handed out before there is a worker for it: from then on it is paid for.
        job = self._driver.next_job() if len(self.jobs) < self._workers else None
        if job is None:
            return Searcher.FINISHED if self._driver.finished else None
        self.jobs[trial_id] = job
        return {"job": json.dumps(job.to_json()), "work": self._work}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self.jobs.pop(trial_id)
        self._read.pop(trial_id, None)
        if error or result is None or "outcome" not in result:
            cause = self.errors.pop(trial_id, "its process ended")
            self._driver.done(job.id, Outcome("failed", 0.0, error=f"{CRASHED}: {cause}"))
        else:
            self._driver.done(job.id, Outcome.from_json(json.loads(result["outcome"])))

    def lose_all(self, cause: str) -> None:
        """Every job that is running ended with its worker."""
        while self.jobs:
            _, job = self.jobs.popitem()
            self._driver.done(job.id, Outcome("failed", 0.0, error=f"{CRASHED}: {cause}"))

    def pass_progress(self) -> None:
        """Read what running jobs wrote since the last look. (Tune's own reports would hold the training up.)"""
        for trial_id, job in self.jobs.items():
            path = Path(job.folder) / _PROGRESS_FILE
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            whole = text[: text.rfind("\n") + 1].splitlines()
            for line in whole[self._read.get(trial_id, 0) :]:
                self._driver.progress(job.id, Progress(**json.loads(line)))
            self._read[trial_id] = len(whole)

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its searcher down; a driver is not something to write down."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the Optuna study is the truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the Optuna study is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a resumed study makes a new searcher."""


class StudyScheduler(FIFOScheduler):
    """First come, first served; it learns why a worker died before the searcher is told that it did."""

    def __init__(self, searcher: JobSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        path = Path(trial.error_file) if trial.error_file else None
        if path is not None and path.is_file():
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            self._searcher.errors[trial.trial_id] = _cause(lines)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Ticker(tune.Callback):
    """Gives the driver the time of day at every step of Tune's loop."""

    def __init__(self, driver: Driver, searcher: JobSearcher) -> None:
        self._driver, self._searcher = driver, searcher

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._searcher.pass_progress()
        self._driver.tick()

    def __getstate__(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class RayRunner:
    """Runs a study's jobs on Ray: a Ray of its own on this machine, or the cluster at ``settings.address``."""

    places: Places
    work: str = RUN_JOB

    def run(self, driver: Driver, settings: StudySettings) -> None:
        """Until the driver has finished."""
        with kept_fresh(self.places.lease), quiet(), _ray(settings):
            while not driver.finished:
                self._tune(driver, settings)

    def _tune(self, driver: Driver, settings: StudySettings) -> None:
        """One run of Tune. It ends early where a cluster's guard kills workers for want of memory."""
        storage = self.places.folder / "ray"
        searcher = JobSearcher(driver, self.work, settings.workers)
        share = {"cpu": 1.0, **({"gpu": settings.gpus_per_trial} if settings.device == "gpu" else {})}
        tuner = tune.Tuner(
            tune.with_resources(JobTrainable, share),
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=StudyScheduler(searcher), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="jobs",
                storage_path=str(storage),
                verbose=0,
                callbacks=[Ticker(driver, searcher)],
                # Jobs save themselves, in folders of the study's own.
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except RuntimeError as error:
            # Tune knows workers that die and trials that fail, but not workers that were killed for memory.
            if not isinstance(error.__cause__, ray.exceptions.OutOfMemoryError):
                raise
            searcher.lose_all(f"out of memory: {_first_line(error.__cause__)}")
        finally:
            shutil.rmtree(storage, ignore_errors=True)


def cluster_devices(address: str) -> tuple[int, float]:
    """CPU cores and GPUs of the Ray cluster at an address."""
    with quiet(), connected(address=address):
        found: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(found.get("CPU", 0)), float(found.get("GPU", 0))


@contextmanager
def _ray(settings: StudySettings) -> Iterator[None]:
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(settings.workers)  # else one trial starts after the other
    with connected(**({"address": settings.address} if settings.address else local_ray(settings))):
        yield


def local_ray(settings: StudySettings) -> dict[str, Any]:
    """The arguments of a Ray of this machine's own, just large enough for the study. Ray counts whole GPUs only."""
    share = settings.gpus_per_trial if settings.device == "gpu" else 0.0
    gpus = math.ceil(settings.workers * share - _ROUNDING)
    return {"address": "local", "num_cpus": settings.workers, "num_gpus": gpus, "include_dashboard": False}


@contextmanager
def connected(**arguments: Any) -> Iterator[None]:
    """A connection that ends as it was found: a Ray that the caller started stays.

    Raises UsageError for a malformed address, AutokdError where no Ray answers or starts.
    """
    mine = not ray.is_initialized()
    if mine:
        address = arguments["address"]
        require_listener(address)
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **arguments)
        except Exception as error:  # its errors share no class
            raise AutokdError(f"Ray cannot be used (address {address!r}): {_first_line(error)}") from error
    for name in ("ray", "ray.tune", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a dead worker is in its trial's record
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


@contextmanager
def quiet() -> Iterator[None]:
    """Ray and Tune read these from the environment, and Ray's workers inherit them."""
    before = dict(os.environ)
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _cause(lines: list[str]) -> str:
    """The line of Ray's error file that says most."""
    telling = [line for line in lines if "died" in line or "killed" in line or "memory" in line or "SIG" in line]
    return (telling or lines or ["its process ended"])[-1][:300]
