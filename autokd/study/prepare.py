"""From what a user asked for to frozen settings: data, models, lengths, machine, budget, name."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

import autokd
from autokd.core.address import load_files
from autokd.core.budget import Budget
from autokd.core.canonical import digest
from autokd.core.errors import SpecError, UsageError, unknown
from autokd.core.holes import Choice
from autokd.core.objectives import Constraint
from autokd.core.settings import OBJECTIVES, DataSource, StudySettings
from autokd.core.task import Split, Task
from autokd.engine.precision import best_precision
from autokd.engine.tokens import encode
from autokd.models.assets import Asset, copy_asset, find_model
from autokd.runner.workspace import asset_content
from autokd.space import Space, with_options
from autokd.space.library import find_space
from autokd.store.files import DEFAULT_STORAGE, files_root
from autokd.store.summaries import list_studies
from autokd.study import machine
from autokd.study.places import Places
from autokd.study.seats import find_seats
from autokd.tasks.frozen import freeze
from autokd.tasks.load import load_task

RunnerName = Literal["ray", "pool"]
POOL_IS_HERE = "an address is that of a Ray cluster, which the runner 'pool' does not use, but got {!r}."
_SAMPLE_ROWS = 20_000  # lengths of larger training sets are estimated from so many of their rows


@dataclass(frozen=True)
class Request:
    """What a search was asked for; see the command line's help for each of them."""

    data: DataSource
    budget: str
    teacher: str = "auto"
    space: str = "basics"
    objectives: tuple[str, ...] = ("score", "macs")
    constraints: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class Prepared:
    """Settings, the parsed space, and what the reader should know of how they came about."""

    settings: StudySettings
    space: Space
    notes: tuple[str, ...]


def prepare(request: Request) -> Prepared:
    """Resolve and freeze everything that a study needs. Raises UsageError, BudgetError, SpecError or DataError."""
    budget = Budget.parse(request.budget)
    _check(request)
    method_files = tuple(str(Path(path).resolve()) for path in request.methods)
    load_files([Path(path) for path in method_files])
    space_name, space_text = find_space(request.space)
    space = Space.parse(space_text, space_name)
    seats = find_seats(budget, request.workers, request.gpus_per_trial, request.address)
    task = load_task(request.data, request.seed)
    places = Places(files_root(request.storage, request.artifacts), _study_name(request, task))
    folder = places.tasks / digest([task.content, task.name, task.metric])
    freeze(task, folder)
    teachers, missing = find_teachers(request.teacher, space)
    assets = {asset.name: _frozen_asset(asset, places) for asset in teachers}
    space = with_teacher(space, teachers[0].name)
    lengths = _lengths(task, assets[teachers[0].name], request.max_length)
    settings = StudySettings(
        study=places.study,
        data=request.data,
        task=str(folder),
        task_name=task.name,
        metric=task.metric,
        space_name=space_name,
        space_text=space.text,
        teachers=tuple(asset.name for asset in teachers),
        assets=assets,
        budget=request.budget,
        objectives=request.objectives,
        constraints=request.constraints,
        max_length=request.max_length,
        median_length=int(lengths.median()),
        mean_length=float(lengths.mean()),
        train_rows=len(task.train),
        seed=request.seed,
        precision=_precision(request, seats.device),
        device=seats.device,
        workers=seats.workers,
        gpus_per_trial=seats.gpus_per_trial,
        runner=request.runner,
        address=request.address,
        method_files=method_files,
        command=request.command,
        environment=environment(),
    )
    notes = (*task.notes, *(asset.note for asset in teachers if asset.note), *missing, *seats.notes)
    return Prepared(settings, space, notes)


def find_teachers(teacher: str, space: Space) -> tuple[tuple[Asset, ...], tuple[str, ...]]:
    """The base models that a space names (``auto``: the study's ``teacher``), and a note for each that is missing.

    Raises UsageError where the teacher itself is missing, or every model that the space names.
    """
    names = base_models(space)
    found: list[Asset] = [find_model(teacher)] if "auto" in names else []
    missing: list[UsageError] = []
    for name in names:
        if name != "auto" and name not in {asset.name for asset in found}:
            try:
                found.append(find_model(name))
            except UsageError as error:
                missing.append(error)
    if not found:
        raise missing[0] if missing else SpecError(f"the space {space.name!r} names no pretrained model to start from.")
    return tuple(found), tuple(f"Masked: {error}" for error in missing)


def with_teacher(space: Space, teacher: str) -> Space:
    """The space with ``auto`` replaced by the model that it stands for: records never say ``auto``."""
    for hole in space.holes:
        if isinstance(hole, Choice) and "auto" in hole.options:
            named = dict.fromkeys(teacher if option == "auto" else option for option in hole.options)
            space = Space.parse(with_options(space.text, hole.name, tuple(named)), space.name)
    return space


def base_models(space: Space) -> tuple[str, ...]:
    """Names of the pretrained models in a space's pipelines, in text order."""
    names: list[str] = []
    for _, _, params in space.examples():
        stages = space.decode(params)["stages"]
        names += [stage["model"] for stage in stages if isinstance(stage.get("model"), str)]
    if not names:  # a space without choices has no examples
        stages = next((space.decode(params)["stages"] for params in space.walk()), [])
        names = [stage["model"] for stage in stages if isinstance(stage.get("model"), str)]
    return tuple(dict.fromkeys(name if name else "auto" for name in names)) or ("auto",)


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
    for text in request.constraints:
        Constraint.parse(text)
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
    folder = places.models / f"{plain}-{asset_content(str(asset.folder))[:8]}"
    if not (folder / "config.json").is_file():
        copy_asset(asset, folder)
    return str(folder)


def _lengths(task: Task, tokenizer: str, max_length: int) -> torch.Tensor:
    """Tokens per training row, float64 [rows], of a sample where there are very many."""
    step = max(1, len(task.train) // _SAMPLE_ROWS)
    rows: Split = task.train.take(range(0, len(task.train), step)) if step > 1 else task.train
    return encode(rows, tokenizer, max_length, task.problem).lengths.double()
