"""What is known of a pipeline before it runs: whether it is legal, what it costs, and the size of its student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from autokd.contracts import BaseModel
from autokd.core.canonical import Json, digest
from autokd.core.errors import SpecError, unknown
from autokd.core.graph import NodeSplit
from autokd.core.job import TrialSpec
from autokd.core.latency import LatencySpec
from autokd.core.settings import StudySettings
from autokd.core.shape import EncoderShape, speed_key
from autokd.core.task import Task
from autokd.deploy.forms import onnx_missing
from autokd.measure.cost import count_parameters
from autokd.models.bases import describe
from autokd.models.slots import network_of
from autokd.pipeline import Pipeline, task_facts, with_teacher
from autokd.runner import is_made, prefix_key
from autokd.runner.sizes import sizes_at_start
from autokd.study.bench_forecast import BenchWork, deploy_seconds, graph_deploy_seconds, latency_seconds
from autokd.study.controls import control
from autokd.tasks.frozen import thaw


@dataclass(frozen=True)
class Appraisal:
    """A legal pipeline, resolved, with its forecast.

    ``prefix`` names the artifact of its shared stages (empty: it has none) and ``prefix_macs`` what they train;
    ``prefix_parts`` does both of each shared stage by itself: the artifact of all up to it, and what it trains.
    ``macs`` is what the other stages train. ``values`` holds ``params`` and ``macs`` of the student as far as its
    shape is known beforehand; ``teacher`` is the name of its first base model, or of the stage that trains a teacher
    from nothing, and ``teacher_macs`` what that multiplies and accumulates for one row (0: not known).
    ``shape`` is the key of its student's shape and form (``Outcome.shape``), empty where that is not known beforehand.
    """

    pipeline: Mapping[str, Json]
    prefix: str
    prefix_macs: float
    macs: float
    values: Mapping[str, float] = field(default_factory=dict)
    teacher: str = ""
    shape: str = ""
    teacher_macs: float = 0.0
    prefix_parts: tuple[tuple[str, float], ...] = ()

    @property
    def content(self) -> str:
        """By this two pipelines are the same."""
        return digest(self.pipeline)


class Appraiser(Protocol):
    """Judges pipelines for one study."""

    def appraise(self, pipeline: Mapping[str, Any]) -> Appraisal:
        """Raises SpecError where the pipeline cannot run in this study."""

    def control(self, pipeline: Mapping[str, Any], name: str) -> Appraisal:
        """The control called ``name`` of a pipeline."""

    def spec(self, pipeline: Mapping[str, Any], replicate: int) -> TrialSpec:
        """What a worker needs to run a resolved pipeline."""

    def prefix_ready(self, prefix: str) -> bool:
        """Whether shared stages have been made and lie on disk."""

    def deploy_seconds(self, macs: float, teacher_macs: float) -> float:
        """Wall seconds that deploying a student of so many multiply-accumulates takes: a guess, before one was."""

    def latency_seconds(self, macs: float, teacher_macs: float) -> float:
        """Wall seconds that timing such a student beside its teacher takes: a guess."""


@dataclass(frozen=True)
class PipelineAppraiser:
    """The appraiser of real studies. ``cache`` is the folder of artifacts that are named by content."""

    settings: StudySettings
    cache: Path

    @cached_property
    def task(self) -> Task:
        return thaw(Path(self.settings.task))

    def appraise(self, pipeline: Mapping[str, Any]) -> Appraisal:
        # Defaults are filled in first: a model that is not named at all is ``auto`` too.
        named = with_teacher(Pipeline.from_json(pipeline).to_json(), self.settings.teachers[0])
        built = Pipeline.from_json(named)
        if built.form == "onnx-int8" and (why := onnx_missing()):
            raise SpecError(f"the form 'onnx-int8' needs packages that are not installed here: {why}")
        models = built.base_models()
        for name in models:
            if name not in self.settings.assets:
                raise SpecError(unknown("base model of this study", name, self.settings.assets))
        for name in built.assets():
            if name not in self.settings.assets:
                raise SpecError(f"the model {name!r}, which a method of this pipeline reads, is not at hand.")
        bases = {name: self._describe(name) for name in models}
        built.check(task_facts(self.task), bases)
        resolved = built.to_json()
        length, longest = self.settings.mean_length, self.settings.max_length
        sizes = sizes_at_start(built, self.task, self.settings.assets, bases, length, longest)
        costs, after = built.stage_costs(sizes)
        spec, shared = self.spec(resolved, 0), enumerate(costs[: built.n_shared], 1)
        parts = tuple((prefix_key(spec, n), cost.macs) for n, cost in shared)
        teacher, student = after.dense_teacher or after.teacher, None if after.is_bound else after.student
        return Appraisal(
            pipeline=resolved,
            prefix=parts[-1][0] if parts else "",
            prefix_macs=sum(macs for _, macs in parts),
            prefix_parts=parts,
            macs=sum(cost.macs for cost in costs[built.n_shared :]),
            values=self._student_values(student),
            teacher=built.teacher,
            teacher_macs=0.0 if teacher is None else teacher.macs(self.settings.median_length),
            shape="" if student is None else speed_key(student, built.form),
        )

    def control(self, pipeline: Mapping[str, Any], name: str) -> Appraisal:
        further = self.settings.unlabelled_rows / max(1, self.settings.train_rows)
        return self.appraise(control(pipeline, name, self.task.problem, further, self.settings.train_rows))

    def spec(self, pipeline: Mapping[str, Any], replicate: int) -> TrialSpec:
        return TrialSpec(
            pipeline=pipeline,
            task=self.settings.task,
            assets=self.settings.assets,
            cache=str(self.cache),
            seed=self.settings.seed,
            replicate=replicate,
            max_length=self.settings.max_length,
            precision=self.settings.precision,
            method_files=self.settings.method_files,
            trust_remote_code=self.settings.trust_remote_code,
        )

    def prefix_ready(self, prefix: str) -> bool:
        return is_made(self.cache, prefix)

    def deploy_seconds(self, macs: float, teacher_macs: float) -> float:
        forecast = graph_deploy_seconds if self.settings.kind == "graph" else deploy_seconds
        return forecast(self._bench_work(macs, teacher_macs))

    def latency_seconds(self, macs: float, teacher_macs: float) -> float:
        return latency_seconds(self._bench_work(macs, teacher_macs))

    def _bench_work(self, macs: float, teacher_macs: float) -> BenchWork:
        settings = self.settings
        if isinstance(self.task.train, NodeSplit):  # each split, and each call, is one pass over the whole graph
            n_nodes = self.task.train.graph.n_nodes
            return BenchWork(2 * n_nodes, macs, teacher_macs, n_nodes)
        length = settings.latency_length or settings.max_length
        call = LatencySpec.parse(settings.latency).batch * length / max(settings.median_length, 1)
        return BenchWork(len(self.task.valid) + len(self.task.test), macs, teacher_macs, call)

    def _describe(self, model: str) -> BaseModel:
        return describe(model, self.settings.assets[model], self.task.problem, self.task.label_names)

    def _student_values(self, shape: EncoderShape | None) -> dict[str, float]:
        if shape is None:
            return {}
        with torch.device("meta"):  # shapes without memory
            n_parameters = count_parameters(network_of(shape))
        return {"macs": shape.macs(self.settings.median_length), "params": float(n_parameters)}
