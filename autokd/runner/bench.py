"""A finished trial on the bench: its student's forms and its teacher, timed in turns as the study's latency says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from autokd.core.errors import AutokdError
from autokd.core.job import Job, Outcome
from autokd.core.latency import LatencySpec
from autokd.deploy.forms import add_int8, add_onnx
from autokd.deploy.latency import Timing, calmer, disturbed, measure
from autokd.deploy.machine import timing_machine
from autokd.deploy.runtimes import Runtime
from autokd.pipeline import Pipeline
from autokd.runner.forms import Forms, opened, shipped_runtime, usable, usable_tokenizer
from autokd.runner.prefix import load_prefix
from autokd.runner.teachers import teacher_checkpoint
from autokd.runner.watch import Watch
from autokd.runner.workspace import Workspace

SECONDS = 6.0  # of timing a student and its teacher
_TEACHER = "teacher in "


def run_latency(job: Job) -> Outcome:
    """Time the student in a trial's folder beside the teacher."""
    bench = Bench(job, Watch(Path(job.folder), job.deadline_seconds))
    runtime = bench.ships
    bench.watch.check()
    timings = bench.timed({runtime: bench.forms.open(runtime, bench.spec.threads)}, SECONDS)
    values = bench.speed(timings, runtime)
    notes = tuple(filter(None, (*bench.teachers[1], bench.disturbance(timings))))
    return Outcome("complete", 0.0, values=values, notes=notes, timed_on=timing_machine())


@dataclass(frozen=True)
class Bench:
    """One job's student and teacher. Everything runs on the CPU, whatever the study trains on, and ends with Paused
    once the watch says so."""

    job: Job
    watch: Watch

    @cached_property
    def spec(self) -> LatencySpec:
        return LatencySpec.parse(self.job.latency)

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(self.job.spec, torch.device("cpu"))

    @cached_property
    def forms(self) -> Forms:
        """The forms of the trial's checkpoint."""
        callers = max(1, self.job.threads // self.spec.threads)
        found = Forms(Path(self.job.folder), self.workspace, "", callers, self.watch.check)
        return replace(found, tokenizer=usable_tokenizer(found.folder, found.told(), self.workspace))

    @property
    def ships(self) -> str:
        """The runtime that the latency of the student is that of."""
        return shipped_runtime(Pipeline.from_json(self.job.spec.pipeline).form, self.spec)

    @cached_property
    def teacher(self) -> Path:
        """The teacher's checkpoint."""
        models, _ = load_prefix(self.job.spec)
        return teacher_checkpoint(self.workspace, models["teacher"])

    def timed(self, students: Mapping[str, Runtime], seconds: float) -> Mapping[str, Timing]:
        """Time students by runtime, in turns with the teacher in the study's runtime and in torch.

        Once more where something else used the machine meanwhile, and the deadline leaves the time.
        """
        teachers = {_TEACHER + name: teacher for name, teacher in self.teachers[0].items()}
        found: Mapping[str, Timing] = self._measured({**students, **teachers}, seconds)
        if disturbed(found) and self.watch.seconds_left > 2 * seconds:
            found = calmer(found, self._measured({**students, **teachers}, seconds))
        return found

    def _measured(self, candidates: Mapping[str, Runtime], seconds: float) -> dict[str, Timing]:
        length = self.spec.length
        assert isinstance(length, int)  # jobs carry it in tokens
        return measure(
            candidates,
            batch=self.spec.batch,
            length=length,
            seconds=min(seconds, self.watch.seconds_left),
            between=self.watch.check,
        )

    def disturbance(self, timings: Mapping[str, Timing]) -> str:
        """What to know of timings that something else disturbed; empty where nothing did."""
        names = disturbed(timings)
        if not names:
            return ""
        worst = max(timings[name].spread for name in names)
        listed = ", ".join(name.replace(_TEACHER, "the teacher in ") for name in names)
        return (
            f"Latencies of {Path(self.job.folder).name} are not to be trusted: something else used the machine while "
            f"these were timed, whose 90th percentile is up to {worst:.1f} times the median: {listed}."
        )

    def speed(self, timings: Mapping[str, Timing], runtime: str) -> dict[str, float]:
        """The student's latency in a runtime, and the teacher's: in the study's runtime, or both in torch."""
        beside = usable(self.spec.runtime)
        if runtime == "torch" or _TEACHER + beside not in timings:
            beside = "torch"
        own, teacher = timings[runtime], timings[_TEACHER + beside]
        return {
            "latency_ms": own.median_ms,
            "latency_p90_ms": own.p90_ms,
            "teacher_latency_ms": teacher.median_ms,
            "teacher_latency_p90_ms": teacher.p90_ms,
            "speedup": teacher.median_ms / own.median_ms,
        }

    @cached_property
    def teachers(self) -> tuple[dict[str, Runtime], tuple[str, ...]]:
        """The teacher in the study's runtime and in torch, and a note where it has no form for the former."""
        found, notes = {"torch": self._teacher("torch")}, []
        beside = usable(self.spec.runtime)
        if beside != "torch":
            try:
                found[beside] = self._teacher(beside)
            except AutokdError as error:
                notes.append(f"The teacher is timed in torch, because it has no form for the runtime {beside}: {error}")
        return found, tuple(notes)

    def _teacher(self, runtime: str) -> Runtime:
        self.watch.check()
        trust = self.job.spec.trust_remote_code
        if runtime == "onnx":
            return opened(add_onnx(self.teacher, trust_remote_code=trust), runtime, self.spec.threads, self.workspace)
        if runtime == "onnx-int8":
            made = add_int8(self.teacher, trust_remote_code=trust).folder
            return opened(made, runtime, self.spec.threads, self.workspace)
        return opened(self.teacher, runtime, self.spec.threads, self.workspace)
