"""Run one pipeline on one task, outside of any study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd.core.address import load_files
from autokd.core.canonical import digest
from autokd.core.errors import TrainingError, UsageError
from autokd.core.job import Job, JobKind, Outcome, Progress, TrialSpec
from autokd.core.task import Task
from autokd.deploy.folders import kind_of
from autokd.engine.precision import best_precision
from autokd.models.assets import Asset, copy_asset, find_model
from autokd.models.bases import describe, readable_length
from autokd.models.remote import trusting
from autokd.models.text_models import find_asset
from autokd.pipeline import Pipeline, task_facts, with_teacher
from autokd.runner import prefix_ready, run_job
from autokd.runner.sizes import sizes_at_start
from autokd.runner.workspace import job_device
from autokd.tasks.frozen import FILE as FROZEN
from autokd.tasks.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

_NO_DEADLINE = float("inf")


@dataclass(frozen=True)
class Student:
    """A trained student: ``checkpoint`` is a folder that AutoModelForSequenceClassification loads.

    Scores are the task's metric (a fraction, or a correlation); ``macs`` per example at the task's median length.
    """

    checkpoint: Path
    valid_score: float
    test_score: float
    params: int
    macs: float

    def model(self) -> PreTrainedModel:
        """The student as a transformers model, in evaluation mode. Raises UsageError for one that reads a graph."""
        if kind_of(self.checkpoint) == "graph":
            raise UsageError("a graph network is no transformers model: open it with open_graph_runtime(checkpoint).")
        from transformers import AutoModelForSequenceClassification

        import autokd.auto  # noqa: F401 - registers shapes that plain transformers cannot load

        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(self.checkpoint)  # in eval mode
        return model


@dataclass(frozen=True)
class Distiller:
    """Runs a pipeline (JSON, as searches record it) on a task.

    ``teacher`` replaces ``auto`` where the pipeline names it. ``precision`` is ``"auto"`` (bfloat16 where the machine
    has units for it), ``"float32"`` or ``"bfloat16"``. ``trust_remote_code`` lets models run code
    that they bring along.
    """

    pipeline: Mapping[str, Any]
    teacher: str = "auto"
    seed: int = 0
    max_length: int = 128
    precision: str = "auto"
    threads: int = 1
    device: str = "cpu"
    method_files: tuple[str, ...] = ()
    trust_remote_code: bool = False

    def fit(
        self,
        task: Task,
        output: str | Path | None = None,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> Student:
        """Train, save, reload and score. ``output`` is the folder for everything (default: a new temporary one).

        Raises SpecError for a pipeline that is illegal or does not fit the models' shapes or the number of rows, before
        anything is trained; TrainingError where training fails.
        """
        load_files([Path(path) for path in self.method_files])
        with trusting(self.trust_remote_code):
            return self._fit(task, output, report)

    def _fit(self, task: Task, output: str | Path | None, report: Callable[[Progress], None]) -> Student:
        folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="autokd-"))
        spec = self._spec(task, folder / "work")
        kinds: tuple[JobKind, ...] = ("prefix", "confirm")
        for kind in kinds:
            if kind == "prefix" and prefix_ready(spec):
                continue
            job = Job(
                id=kind,
                kind=kind,
                spec=spec,
                folder=str(folder if kind == "confirm" else folder / "work" / "prefix-job"),
                deadline_seconds=_NO_DEADLINE,
                threads=self.threads,
                device=self.device,  # type: ignore[arg-type]
            )
            outcome = run_job(job, report)
            if outcome.state != "complete":
                raise TrainingError(outcome.error or f"the {kind} stopped before its end")
        return _student(outcome)

    def _spec(self, task: Task, work: Path) -> TrialSpec:
        pipeline = Pipeline.from_json(self.pipeline)  # its defaults filled in: one of them is the model ``auto``
        if "auto" in pipeline.base_models():
            pipeline = Pipeline.from_json(with_teacher(pipeline.to_json(), find_model(self.teacher).name))
        assets, bases = {}, {}
        for name in pipeline.base_models():
            asset = find_model(name)
            bases[name] = describe(name, asset.folder, task.problem, task.label_names)
            assets[name] = _copied(asset, work)
        max_length = readable_length(assets.values(), self.max_length)
        for name, kind in pipeline.assets().items():
            asset = find_asset(name, kind)
            assets[name] = _copied(asset, work)
        pipeline.check(task_facts(task), bases)
        # Refuses what sizes forbid.
        pipeline.forecast(sizes_at_start(pipeline, task, assets, bases, max_length, max_length))
        frozen = work / "tasks" / digest([task.content, task.metric])
        if not (frozen / FROZEN).is_file():
            freeze(task, frozen)
        return TrialSpec(
            pipeline=pipeline.to_json(),
            task=str(frozen.resolve()),
            assets=assets,
            cache=str((work / "cache").resolve()),
            seed=self.seed,
            max_length=max_length,
            precision=best_precision(job_device(self.device)) if self.precision == "auto" else self.precision,
            method_files=self.method_files,
            trust_remote_code=self.trust_remote_code,
        )


def _copied(asset: Asset, work: Path) -> str:
    """The folder of a pretrained model's copy beside the work that needs it."""
    place = work / "models" / asset.name.replace("/", "--")
    copy_asset(asset, place)
    return str(place.resolve())


def _student(outcome: Outcome) -> Student:
    values = outcome.values
    return Student(
        Path(outcome.checkpoint),
        values["valid_score"],
        values["test_score"],
        int(values["params"]),
        values["macs"],
    )
