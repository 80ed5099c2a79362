"""The toy's worker side: made-up values and times, and a worker function that only waits. Imports no torch.

The file ``scale`` beside the task's folder multiplies the waiting (0: none at all); in the folder ``workers`` there
each worker leaves a file named by its process id. A toy pipeline's ``behaviour`` makes its job go wrong in one way:
``nan`` scores nothing, ``raise`` fails, ``die`` kills its worker.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autokd.core.canonical import digest
from autokd.core.job import ALONE, Job, Outcome, Progress
from autokd.study.places import STOP_FILE

WORK = "autokd.testing.toy_work:toy_job"
MACS_PER_LAYER, TEACHER_MACS = 1e9, 1e10
SECONDS_PER_MAC = 1e-9  # of the toy's device: a layer takes a second
ALONE_SECONDS = 0.5  # of a deployment, and of measuring a latency
_STEPS = 20


def toy_values(job: Job) -> dict[str, float]:
    """What a toy job measures: scores grow with the layers and peak at a rate of 0.01, seeds differ a little."""
    if job.kind == "probe":
        return {"seconds_per_mac": SECONDS_PER_MAC}
    if job.kind == "prefix":
        return {"valid_score": 0.95, "test_score": 0.94, "params": 1e7, "macs": 1.2e10}
    if job.kind == "latency":
        return toy_speed(job)
    if job.kind == "deploy":
        return {**toy_speed(job), **toy_forms(job)}
    train = job.spec.pipeline["stages"][1]
    luck = int(digest([train, job.spec.replicate, job.spec.seed]), 16) % 1000 / 1e5
    score = 0.5 + 0.08 * train["layers"] - 0.05 * abs(math.log10(train["rate"] / 0.01)) + luck
    test = {"test_score": score - 0.01} if job.kind in ("confirm", "control") else {}
    macs = train["layers"] * MACS_PER_LAYER
    size = {"params": train["layers"] * 1e6, "macs": macs, "size_bytes": train["layers"] * 4e6}
    return {"valid_score": math.nan if train["behaviour"] == "nan" else score, **size, **test}


def toy_speed(job: Job) -> dict[str, float]:
    """A toy student takes two milliseconds a layer, and its teacher 24."""
    median = 2.0 * job.spec.pipeline["stages"][1]["layers"]
    teacher = {"teacher_latency_ms": 24.0, "teacher_latency_p90_ms": 25.0}
    return {"latency_ms": median, "latency_p90_ms": 1.1 * median, **teacher, "speedup": 24.0 / median}


def toy_forms(job: Job) -> dict[str, float]:
    """A toy is deployed in two forms, of which int8 is the faster one and a little worse."""
    layers = job.spec.pipeline["stages"][1]["layers"]
    found = {"teacher_size_bytes": 4e7}
    for runtime, speed in (("onnx", 1.0), ("onnx-int8", 0.5)):
        scores = {"valid_score": 0.7 + speed / 100, "test_score": 0.69 + speed / 100}
        times = {"latency_ms": 2.0 * layers * speed, "latency_p90_ms": 2.2 * layers * speed}
        fields = {**scores, **times, "size_bytes": 4e6 * layers * speed}
        found |= {f"{runtime}/{name}": value for name, value in fields.items()}
    return found


def toy_seconds(job: Job) -> float:
    """How long a toy job takes on one device; scoring a finished trial takes a twentieth."""
    if job.kind == "probe":
        return 0.1
    if job.kind == "prefix":
        return TEACHER_MACS * SECONDS_PER_MAC / job.devices
    if job.kind in ALONE:
        return ALONE_SECONDS
    layers = float(job.spec.pipeline["stages"][1]["layers"])
    scoring = job.kind == "confirm" and job.spec.replicate == 0
    return layers * MACS_PER_LAYER * SECONDS_PER_MAC * (0.05 if scoring else 1.0)


def toy_outcome(job: Job) -> Outcome:
    """How a toy job ends when nobody stops it, without doing anything but leaving its files."""
    if job.kind == "prefix":
        _write(Path(job.spec.cache) / "toy-teacher.json", {})
    bare = job.kind in ("probe", "prefix", *ALONE)
    behaviour = "plain" if bare else job.spec.pipeline["stages"][1]["behaviour"]
    if behaviour == "raise":
        return Outcome("failed", toy_seconds(job), error="ValueError: this toy raises", trace="Traceback: a toy's")
    checkpoint = "" if job.kind in ("probe", "prefix") else str(Path(job.folder) / "checkpoint")
    shape = "" if bare else toy_shape(job.spec.pipeline)
    if checkpoint:
        Path(checkpoint).mkdir(parents=True, exist_ok=True)
    return Outcome("complete", toy_seconds(job), values=toy_values(job), checkpoint=checkpoint, shape=shape)


def toy_shape(pipeline: Mapping[str, Any]) -> str:
    """What a toy student's speed depends on."""
    return f"toy-{pipeline['stages'][1]['layers']}"


def toy_job(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """The toy's worker function. Its outcome's ``environment`` names the process that ran it."""
    folder, here = Path(job.folder), Path(job.spec.task).parent
    scale = float(_read(here / "scale") or 0)
    folder.mkdir(parents=True, exist_ok=True)
    done = _read(folder / f"{job.kind}.result.json")
    if done is not None:
        return Outcome.from_json(done)
    began = time.monotonic()
    _write(here / "workers" / str(os.getpid()), {})
    position = (_read(folder / "position.json") or {"step": 0})["step"]
    for step in range(position, _STEPS if scale else 0):
        if (folder / STOP_FILE).exists() or time.monotonic() - began > job.deadline_seconds:
            return Outcome("paused", time.monotonic() - began)
        time.sleep(scale * toy_seconds(job) / _STEPS)
        _write(folder / "position.json", {"step": step + 1})
        if step == _STEPS // 2:
            report(Progress(1, step, 0.5, time.monotonic() - began))
            _misbehave(job)
    outcome = replace(toy_outcome(job), environment={"pid": str(os.getpid()), "threads": str(job.threads)})
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
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(value))
    part.replace(path)
