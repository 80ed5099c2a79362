"""A study without networks: a small space, made-up costs and scores, and a worker function that only waits.

For tests of runners and searches, and for measuring what orchestration itself costs. The toy's behaviours make a job
go wrong in one way each.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.canonical import digest
from autokd.core.errors import SpecError
from autokd.core.job import Job, Outcome, Progress, TrialSpec
from autokd.core.record import TrialRecord
from autokd.core.settings import DataSource, StudySettings
from autokd.space import Space
from autokd.store.study_store import StudyStore
from autokd.study.appraise import Appraisal
from autokd.study.places import STOP_FILE

WORK = "autokd.testing.toy:toy_job"
SPACE = """
stages:
  - {use: toy:Teacher}
  - use: toy:Train
    layers: {name: layers, pick: [1, 2, 3, 4]}
    rate: {name: rate, low: 0.001, high: 0.1, log: true}
    behaviour: {name: behaviour, pick: [plain]}
form: float32
"""
MACS_PER_LAYER, TEACHER_MACS = 1e9, 1e10
SECONDS_PER_MAC = 1e-9  # of the toy's device: a layer takes a second
_STEPS = 20


def toy_space(*behaviours: str) -> str:
    """The toy space's text, with a choice among these behaviours (``plain``, ``nan``, ``raise``, ``die``)."""
    return SPACE.replace("[plain]", f"[{', '.join(behaviours or ('plain',))}]")


def toy_settings(study: str, files: Path, budget: str, **changes: Any) -> StudySettings:
    """Settings of a toy study; ``files`` is any folder."""
    first = {
        "study": study,
        "data": DataSource("toy"),
        "task": str(files / "task"),
        "task_name": "toy",
        "metric": "accuracy",
        "space_name": "toy",
        "space_text": SPACE,
        "teachers": ("toy-base",),
        "assets": {"toy-base": str(files / "toy-base")},
        "budget": budget,
        "runner": "pool",
        "workers": 2,
    }
    return StudySettings(**{**first, **changes})


def toy_store(storage: str, settings: StudySettings) -> StudyStore:
    """A new study of the toy space."""
    holes = Space.parse(settings.space_text, settings.space_name).holes
    return StudyStore.create(storage, settings, holes)


@dataclass(frozen=True)
class ToyAppraiser:
    """Appraises toy pipelines. ``scale`` multiplies the time that every job takes."""

    settings: StudySettings
    cache: Path

    def appraise(self, pipeline: Mapping[str, Any]) -> Appraisal:
        stages = pipeline["stages"]
        if [stage["use"] for stage in stages] != ["toy:Teacher", "toy:Train"]:
            raise SpecError(f"a toy pipeline has a teacher and a training, but got {stages!r}.")
        layers = stages[1]["layers"]
        values = {"macs": layers * MACS_PER_LAYER, "params": layers * 1e6}
        return Appraisal(pipeline, "toy-teacher", TEACHER_MACS, layers * MACS_PER_LAYER, values, "toy-base")

    def control(self, pipeline: Mapping[str, Any], name: str) -> Appraisal:
        stages = pipeline["stages"]
        return self.appraise({**pipeline, "stages": [stages[0], {**stages[1], "behaviour": "plain", "rate": 0.05}]})

    def spec(self, pipeline: Mapping[str, Any], replicate: int) -> TrialSpec:
        settings = self.settings
        return TrialSpec(pipeline, settings.task, settings.assets, str(self.cache), settings.seed, replicate)

    def prefix_ready(self, pipeline: Mapping[str, Any]) -> bool:
        return (self.cache / "toy-teacher.json").is_file()


def toy_interval(runs: Sequence[TrialRecord]) -> tuple[float, float, float]:
    """The mean test score over seeds, and their range."""
    scores = [run.values["test_score"] for run in runs]
    return sum(scores) / len(scores), min(scores), max(scores)


def toy_values(job: Job) -> dict[str, float]:
    """What a toy job measures: scores grow with the layers and peak at a rate of 0.01, seeds differ a little."""
    if job.kind == "probe":
        return {"seconds_per_mac": SECONDS_PER_MAC}
    if job.kind == "prefix":
        return {"valid_score": 0.95, "test_score": 0.94, "params": 1e7, "macs": 1.2e10}
    train = job.spec.pipeline["stages"][1]
    luck = int(digest([train, job.spec.replicate, job.spec.seed]), 16) % 1000 / 1e5
    score = 0.5 + 0.08 * train["layers"] - 0.05 * abs(math.log10(train["rate"] / 0.01)) + luck
    test = {"test_score": score - 0.01} if job.kind in ("confirm", "control") else {}
    macs = train["layers"] * MACS_PER_LAYER
    size = {"params": train["layers"] * 1e6, "macs": macs, "size_bytes": train["layers"] * 4e6}
    return {"valid_score": math.nan if train["behaviour"] == "nan" else score, **size, **test}


def toy_seconds(job: Job) -> float:
    """How long a toy job takes on one device; scoring a finished trial takes a twentieth."""
    if job.kind == "probe":
        return 0.1
    if job.kind == "prefix":
        return TEACHER_MACS * SECONDS_PER_MAC / job.devices
    layers = float(job.spec.pipeline["stages"][1]["layers"])
    scoring = job.kind == "confirm" and job.spec.replicate == 0
    return layers * MACS_PER_LAYER * SECONDS_PER_MAC * (0.05 if scoring else 1.0)


def toy_outcome(job: Job) -> Outcome:
    """How a toy job ends when nobody stops it, without doing anything but leaving its files."""
    if job.kind == "prefix":
        _write(Path(job.spec.cache) / "toy-teacher.json", {})
    behaviour = "plain" if job.kind in ("probe", "prefix") else job.spec.pipeline["stages"][1]["behaviour"]
    if behaviour == "raise":
        return Outcome("failed", toy_seconds(job), error="ValueError: this toy raises", trace="Traceback: a toy's")
    checkpoint = "" if job.kind in ("probe", "prefix") else str(Path(job.folder) / "checkpoint")
    if checkpoint:
        Path(checkpoint).mkdir(parents=True, exist_ok=True)
    return Outcome("complete", toy_seconds(job), values=toy_values(job), checkpoint=checkpoint)


def toy_job(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """The toy's worker function. ``AUTOKD_TOY_SCALE`` in the environment multiplies its waiting (0: no waiting)."""
    folder, scale = Path(job.folder), float(os.environ.get("AUTOKD_TOY_SCALE", "1"))
    folder.mkdir(parents=True, exist_ok=True)
    done = _read(folder / f"{job.kind}.result.json")
    if done is not None:
        return Outcome.from_json(done)
    began = time.monotonic()
    position = (_read(folder / "position.json") or {"step": 0})["step"]
    for step in range(position, _STEPS if scale else 0):
        if (folder / STOP_FILE).exists() or time.monotonic() - began > job.deadline_seconds:
            return Outcome("paused", time.monotonic() - began)
        time.sleep(scale * toy_seconds(job) / _STEPS)
        _write(folder / "position.json", {"step": step + 1})
        if step == _STEPS // 2:
            report(Progress(1, step, 0.5, time.monotonic() - began))
            _misbehave(job)
    outcome = toy_outcome(job)
    if outcome.state == "complete":
        _write(folder / f"{job.kind}.result.json", outcome.to_json())
    return outcome


def _misbehave(job: Job) -> None:
    if job.kind == "trial" and job.spec.pipeline["stages"][1]["behaviour"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{hashlib.sha256(str(os.getpid()).encode()).hexdigest()[:8]}")
    part.write_text(json.dumps(value))
    part.replace(path)
