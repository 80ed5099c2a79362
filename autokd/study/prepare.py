"""From what a user asked for to frozen settings: data, models, lengths, machine, budget, name."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

import autokd
from autokd.core.address import load_files
from autokd.core.budget import Budget
from autokd.core.canonical import digest
from autokd.core.errors import UsageError, unknown
from autokd.core.latency import LatencySpec
from autokd.core.objectives import check_constraints
from autokd.core.settings import OBJECTIVES, DataSource, StudySettings
from autokd.core.task import Split, Task
from autokd.engine.precision import best_precision
from autokd.engine.rows import encode
from autokd.models.assets import Asset, copy_asset
from autokd.models.bases import readable_length
from autokd.models.folders import folder_content
from autokd.models.remote import trusting
from autokd.space import Space
from autokd.space.library import find_space
from autokd.store.files import DEFAULT_STORAGE, make_root
from autokd.store.summaries import list_studies
from autokd.study import machine
from autokd.study.appraise import PipelineAppraiser
from autokd.study.base_models import find_base_models, require_legal, with_teachers
from autokd.study.cover import Cover, Params, covering
from autokd.study.feasible import require_feasible
from autokd.study.latency_asked import find_graph_latency, find_latency
from autokd.study.places import Places
from autokd.study.seats import find_seats
from autokd.tasks.frozen import freeze
from autokd.tasks.load import load_task

RunnerName = Literal["ray", "pool"]
POOL_IS_HERE = "an address is that of a Ray cluster, which the runner 'pool' does not use, but got {!r}."
AUTO_SPACE = "auto"
_SPACES = {"text": "full", "graph": "graph"}  # the default space of each kind of data
_SAMPLE_ROWS = 20_000  # lengths of larger training sets are estimated from so many of their rows


@dataclass(frozen=True)
class Request:
    """What a search was asked for; see the command line's help for each of them."""

    data: DataSource
    budget: str
    teacher: str | tuple[str, ...] = "auto"
    space: str = AUTO_SPACE
    objectives: tuple[str, ...] = ("score", "macs")
    constraints: tuple[str, ...] = ()
    latency: str = ""
    max_length: int = 128
    storage: str = DEFAULT_STORAGE
    artifacts: str | None = None
    study: str | None = None
    address: str | None = None
    workers: int | None = None
    gpus_per_trial: float | None = None
    runner: RunnerName = "ray"
    seed: int = 0
    precision: str = "auto"
    methods: tuple[str, ...] = ()
    command: str = ""
    trust_remote_code: bool = False
    cover: bool = False

    @property
    def teachers(self) -> tuple[str, ...]:
        """What ``auto`` stands for in the space, one model or several."""
        return (self.teacher,) if isinstance(self.teacher, str) else tuple(self.teacher) or ("auto",)


@dataclass(frozen=True)
class Prepared:
    """Settings, the parsed space, and what the reader should know of how they came about.

    ``begins`` are the pipelines, resolved, that are to be tried before any other, with their parameters.
    """

    settings: StudySettings
    space: Space
    notes: tuple[str, ...]
    begins: tuple[tuple[Params, Mapping[str, Any]], ...] = ()


def prepare(request: Request) -> Prepared:
    """Resolve and freeze everything that a study needs. Raises UsageError, BudgetError, SpecError or DataError."""
    with trusting(request.trust_remote_code):
        return _prepare(request)


def _prepare(request: Request) -> Prepared:
    budget = Budget.parse(request.budget)
    _check(request)
    method_files = tuple(str(Path(path).resolve()) for path in request.methods)
    load_files([Path(path) for path in method_files])
    if request.space != AUTO_SPACE:
        find_space(request.space)  # a name that is wrong is told before data are read
    seats = find_seats(budget, request.workers, request.gpus_per_trial, request.address)
    task = load_task(request.data, request.seed)
    space_name, space_text = find_space(_SPACES[task.kind] if request.space == AUTO_SPACE else request.space)
    space = Space.parse(space_text, space_name)
    places = Places(make_root(request.storage, request.artifacts), _study_name(request, task))
    folder = places.tasks / digest([task.content, task.name, task.metric])
    freeze(task, folder)
    models = find_base_models(request.teachers, space, task)
    space = with_teachers(space, models.auto)
    require_legal(space, models, task)
    assets = {asset.name: _frozen_asset(asset, places) for asset in models.assets}
    read = (assets[asset.name] for asset in (*models.teachers, *models.students))
    max_length = readable_length(read, request.max_length)
    extents = _extents(task, assets[models.teachers[0].name] if models.teachers else "", max_length)
    latency, n_tokens, told = _latency(request, task, extents, max_length)
    settings = StudySettings(
        study=places.study,
        data=request.data,
        task=str(folder),
        task_name=task.name,
        metric=task.metric,
        space_name=space_name,
        space_text=space.text,
        teachers=models.teacher_names,
        assets=assets,
        budget=request.budget,
        objectives=request.objectives,
        constraints=request.constraints,
        kind=task.kind,
        latency=latency.text,
        latency_length=n_tokens,
        max_length=max_length,
        median_length=float(extents.median()),
        mean_length=float(extents.mean()),
        train_rows=len(task.train),
        unlabelled_rows=task.n_unlabelled,
        seed=request.seed,
        precision=_precision(request, seats.device),
        device=seats.device,
        workers=seats.workers,
        gpus_per_trial=seats.gpus_per_trial,
        runner=request.runner,
        address=request.address,
        method_files=method_files,
        trust_remote_code=request.trust_remote_code,
        command=request.command,
        environment=environment(),
    )
    cut = f"Texts are cut at {max_length} tokens: a model reads no more (asked for: {request.max_length})."
    notes = (*task.notes, *models.notes, *seats.notes, *told, *([cut] if max_length < request.max_length else []))
    appraiser = PipelineAppraiser(settings, places.cache)
    require_feasible(settings, space, appraiser)
    if not request.cover:
        return Prepared(settings, space, notes)
    cover = covering(space, appraiser)
    begins = tuple((params, appraisal.pipeline) for params, appraisal in cover.chosen)
    return Prepared(settings, space, (*notes, *_covered(cover)), begins)


def _covered(cover: Cover) -> list[str]:
    told = [f"Begins with {len(cover.chosen)} pipelines that together use every method that can be used here."]
    if cover.missed:
        told.append(f"No pipeline of this study can use {', '.join(cover.missed)}.")
    return told


def environment() -> Mapping[str, str]:
    """Where the study's driver runs."""
    return {
        "autokd": autokd.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": str(machine.cores()),
        "gpus": str(machine.gpus()),
    }


def _check(request: Request) -> None:
    for name in request.objectives:
        if name not in OBJECTIVES:
            raise UsageError(unknown("objective", name, OBJECTIVES))
    if "score" not in request.objectives or len(set(request.objectives)) != len(request.objectives):
        raise UsageError(f"objectives hold 'score' and name each once, but got {list(request.objectives)}.")
    check_constraints(request.constraints)
    LatencySpec.parse(request.latency)
    for name, value in (("workers", request.workers), ("max-length", request.max_length)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, but got {value}.")
    if request.gpus_per_trial is not None and not 0 < request.gpus_per_trial <= 1:
        raise UsageError(f"gpus-per-trial must be above 0 and at most 1, but got {request.gpus_per_trial}.")
    _check_runner(request)
    if request.precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(unknown("precision", request.precision, ("auto", "float32", "bfloat16")))


def _check_runner(request: Request) -> None:
    if request.runner not in ("ray", "pool"):
        raise UsageError(unknown("runner", request.runner, ("ray", "pool")))
    if request.address is not None and request.runner == "pool":
        raise UsageError(POOL_IS_HERE.format(request.address))


def _precision(request: Request, device: str) -> str:
    if request.precision != "auto":
        return request.precision
    return best_precision(torch.device("cuda" if device == "gpu" else "cpu"))


def _study_name(request: Request, task: Task) -> str:
    if request.study is not None:
        return request.study
    taken = {summary.study for summary in list_studies(request.storage)}
    stem = f"{Path(task.name).stem}-{datetime.now(UTC):%Y%m%d}"
    return next(f"{stem}-{k}" for k in range(1, len(taken) + 2) if f"{stem}-{k}" not in taken)


def _frozen_asset(asset: Asset, places: Places) -> str:
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in asset.name)[-60:]
    folder = places.models / f"{plain}-{folder_content(str(asset.folder))[:8]}"
    if not (folder / "config.json").is_file():
        copy_asset(asset, folder)
    return str(folder)


def _latency(
    request: Request, task: Task, extents: torch.Tensor, max_length: int
) -> tuple[LatencySpec, int, tuple[str, ...]]:
    """As ``find_latency``, for whatever the task's rows are."""
    if task.kind == "graph":
        return find_graph_latency(request.latency), 1, ()
    return find_latency(request.latency, extents.int().tolist(), max_length)


def _extents(task: Task, tokenizer: str, max_length: int) -> torch.Tensor:
    """What the cost of each training row grows with (tokens), float64 [rows], of a sample where there are very many."""
    step = max(1, len(task.train) // _SAMPLE_ROWS)
    rows: Split = task.train.take(range(0, len(task.train), step)) if step > 1 else task.train
    return encode(rows, tokenizer, max_length, task.problem).extents
