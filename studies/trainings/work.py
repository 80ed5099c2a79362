"""One training, in a worker process: what all runs of a task share (their teacher), then the rest of its pipeline."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from autokd.core.canonical import digest
from autokd.core.job import Job, Outcome, TrialSpec
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.deploy.gate import load_predictions
from autokd.engine.precision import best_precision
from autokd.measure.metrics import find_metric
from autokd.models.assets import copy_asset, find_model
from autokd.pipeline import Pipeline
from autokd.runner import prefix_ready, run_job
from autokd.runner.prefix import prefix_key, prefix_values
from autokd.runner.workspace import job_device
from autokd.tasks.frozen import freeze
from autokd.tasks.load import load_task

TEACHER = "minilm"
SEED = 0


@dataclass(frozen=True)
class Place:
    """Where runs keep what they share, what they run on, and the folders of what their pipelines name.

    ``keeps``: the name of the cell whose first replicates' checkpoints stay (see ``kept_checkpoint``).
    """

    folder: str
    device: str
    processes: int
    assets: Mapping[str, str] = field(default_factory=dict)
    keeps: str = ""


class Cell(Protocol):
    """A task with at most so many of its training rows (None: all)."""

    @property
    def task(self) -> str: ...

    @property
    def rows(self) -> int | None: ...

    @property
    def name(self) -> str: ...


class Training(Protocol):
    """One training of a results file: ``about`` is what tells its row from others."""

    @property
    def cell(self) -> Cell: ...

    @property
    def replicate(self) -> int: ...

    @property
    def about(self) -> dict[str, Any]: ...

    @property
    def pipeline(self) -> dict[str, Any]: ...


def train(run: Training, place: Place) -> dict[str, Any]:
    """A row of the results: what was scored and measured of one trained student, or ``error``."""
    row, spec = dict(run.about), specified(run, place)
    with FileLock(Path(place.folder) / f"{run.cell.task}.lock"):  # one makes the teacher, the others wait
        if not prefix_ready(spec):
            made = run_job(_job(spec, place, "prefix", f"{run.cell.name}-{prefix_key(spec)}"), lambda _: None)
            if made.state != "complete":
                return {**row, "error": made.error}
    job = _job(spec, place, "confirm", digest(run.about))
    outcome = run_job(job, lambda _: None)
    if outcome.state != "complete":
        return {**row, "error": outcome.error}
    measured = _measured(outcome, load_cell(run.cell).metric) | _teacher(spec)
    if run.cell.name == place.keeps and run.replicate == 0:
        shutil.copytree(outcome.checkpoint, kept_checkpoint(run, place), dirs_exist_ok=True)
    shutil.rmtree(job.folder)  # hundreds of checkpoints fill a disk
    return {**row, **measured}


def kept_checkpoint(run: Training, place: Place) -> Path:
    """Where the checkpoint of a first replicate is kept."""
    return Path(place.folder) / "kept" / digest(run.about) / "checkpoint"


def _teacher(spec: TrialSpec) -> dict[str, float]:
    values = prefix_values(spec)
    return {f"teacher_{name}": values[name] for name in ("test_score", "params", "macs")}


def _measured(outcome: Outcome, metric: str) -> dict[str, Any]:
    """Scores, sizes and seconds; and what was predicted for each test row, for intervals."""
    logits, labels = load_predictions(outcome.predictions["test"])
    found = find_metric(metric)
    predicted = found.predictions(logits, labels)
    numbers = logits.shape[1] == 1
    told = [round(float(value), 4) for value in predicted] if numbers else "".join(map(str, predicted.tolist()))
    names = ("valid_score", "test_score", "params", "macs", "nonzero_params")
    values = {name: outcome.values[name] for name in names if name in outcome.values}
    return {**values, "metric": metric, "seconds": round(outcome.seconds, 1), "predicted": told}


def predictions(row: Mapping[str, Any]) -> np.ndarray:
    """What a row of the results predicted for each test row: classes, one digit each, or numbers."""
    told = row["predicted"]
    return np.array([int(digit) for digit in told]) if isinstance(told, str) else np.array(told)


def load_cell(cell: Cell) -> Task:
    """The cell's task, with at most its number of training rows (drawn, the same ones always)."""
    return _load(cell.task, cell.rows)


@cache
def _load(name: str, rows: int | None) -> Task:
    task = load_task(DataSource(name), SEED)
    if rows is None or len(task.train) <= rows:
        return task
    chosen = np.random.default_rng(SEED).permutation(len(task.train))[:rows]
    return task.with_train(task.train.take(sorted(chosen.tolist())))


def specified(run: Training, place: Place) -> TrialSpec:
    """What a worker needs to train a run; the task and the base model are put in place where they are not."""
    folder = Path(place.folder)
    task, frozen = load_cell(run.cell), folder / "tasks" / f"{run.cell.task}-{run.cell.rows or 'all'}"
    asset, copied = find_model(TEACHER), folder / "models" / TEACHER
    with FileLock(folder / "inputs.lock"):
        if not frozen.is_dir():
            freeze(task, frozen)
        if not copied.is_dir():
            copy_asset(asset, copied)
    return TrialSpec(
        pipeline=Pipeline.from_json(run.pipeline).to_json(),
        task=str(frozen),
        assets={TEACHER: str(copied), **place.assets},
        cache=str(folder / "cache"),
        seed=SEED,
        replicate=run.replicate,
        precision=best_precision(job_device(place.device)),
    )


def _job(spec: TrialSpec, place: Place, kind: Any, name: str) -> Job:
    device: Any = place.device
    return Job(name, kind, spec, str(Path(place.folder) / "runs" / name), float("inf"), device=device)
