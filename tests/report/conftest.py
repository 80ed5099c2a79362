"""A small invented study: the report's tests need one whose every figure is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autokd.core.record import Finalist, Form, Teacher, TrialRecord
from autokd.core.result import StudyResult
from autokd.core.settings import DataSource, StudySettings


def pipeline(keep: int, lr: float, *, mixup: bool = False) -> dict[str, Any]:
    """A resolved pipeline such as a search would write."""
    distil = {
        "use": "basics:Distil",
        "objectives": [{"use": "basics:Logits", "form": "kl", "temperature": 4.0, "weight": 1.0}],
        "augmenters": [{"use": "basics:Mixup", "alpha": 0.4}] if mixup else [],
        "hooks": [],
        "optimizer": {"use": "basics:AdamW", "lr": lr},
        "epochs": 3.0,
    }
    stages = [
        {"use": "basics:FineTuneTeacher", "model": "minilm", "epochs": 3.0},
        {"use": "basics:TruncateLayers", "keep": keep, "take": "even"},
        distil,
    ]
    return {"stages": stages, "form": "float32"}


def trial(number: int, keep: int, lr: float, score: float, **changes: Any) -> TrialRecord:
    """A complete trial; sizes follow from the number of layers."""
    given: dict[str, Any] = {
        "number": number,
        "state": "complete",
        "role": "search",
        "pipeline": pipeline(keep, lr),
        "params": {"student.layers": keep, "lr": lr},
        "values": {"valid_score": score, "params": 12e6 + 1.8e6 * keep, "macs": 0.11e9 * keep, "size_bytes": 8e7},
        "device_seconds": 20.0,
        "device_seconds_alone": 50.0,
        "spent_at": 60.0 + 20.0 * number,
        "environment": {"torch": "2.13.0"},
    }
    return TrialRecord(**{**given, **changes})


def finalist(number: int, keep: int, lr: float, score: float, half: float, **changes: Any) -> Finalist:
    """A confirmed pipeline with a symmetric interval."""
    given: dict[str, Any] = {
        "trial": number,
        "pipeline": pipeline(keep, lr),
        "valid_score": score + 0.01,
        "test_score": score,
        "test_low": score - half,
        "test_high": score + half,
        "params": 12e6 + 1.8e6 * keep,
        "macs": 0.11e9 * keep,
        "checkpoint": f"/studies/files/checkpoints/{number}",
        "n_seeds": 3,
    }
    return Finalist(**{**given, **changes})


@pytest.fixture
def settings() -> StudySettings:
    return StudySettings(
        study="pydocs-2026",
        data=DataSource("pydocs"),
        task="/frozen",
        task_name="pydocs",
        metric="accuracy",
        space_name="basics",
        space_text="stages:\n  - {use: basics:FineTuneTeacher}\n",
        teachers=("minilm",),
        assets={"minilm": "/assets/minilm"},
        budget="10cpu-min",
        median_length=24,
        train_rows=2400,
        workers=2,
        command="autokd search --dataset pydocs --budget 10cpu-min",
        environment={"python": "3.11.7", "torch": "2.13.0"},
    )


@pytest.fixture
def result(settings: StudySettings) -> StudyResult:
    """Eight search trials, one of them failed and one pruned, two random ones, two finalists, two controls."""
    records = (
        trial(0, 3, 1e-4, 0.80),
        trial(1, 2, 1e-4, 0.76),
        trial(2, 1, 1e-4, 0.66, role="random"),
        trial(3, 3, 3e-4, 0.84),
        trial(4, 3, 1e-3, 0.0, state="failed", values={}, error="the loss at step 12 is not finite (nan)"),
        trial(5, 2, 3e-4, 0.79, pipeline=pipeline(2, 3e-4, mixup=True)),
        trial(6, 4, 1e-5, 0.61, state="pruned"),
        trial(7, 2, 5e-4, 0.78, role="random"),
        trial(8, 3, 3e-4, 0.83, role="confirm", confirms=3, replicate=1),
        trial(9, 3, 3e-4, 0.75, role="control", name="fine-tune"),
    )
    return StudyResult(
        settings=settings,
        records=records,
        teacher=Teacher("minilm", 0.90, 0.88, 22.7e6, 0.66e9),
        front=(finalist(3, 3, 3e-4, 0.83, 0.02), finalist(5, 2, 3e-4, 0.78, 0.03)),
        controls=(
            finalist(9, 3, 3e-4, 0.75, 0.02, name="fine-tune"),
            finalist(10, 3, 3e-4, 0.815, 0.02, name="logits"),
        ),
        spent={"cpu": 590.0, "wall": 300.0},
        shared_seconds=300.0,
        importances={"score": {"lr": 0.7, "student.layers": 0.3}, "macs": {"lr": 0.0, "student.layers": 1.0}},
        notes=("The validation split was carved from train.",),
    )


def forms(trial: int, score: float, latency_ms: float) -> tuple[Form, ...]:
    """Four runtimes of a student that takes ``latency_ms`` in onnx; int8 is twice as fast and loses half a point."""
    folder = f"/studies/files/trials/{trial}"
    made = {
        "onnx": (score, latency_ms, 7e7, "onnx"),
        "onnx-int8": (score - 0.005, latency_ms / 2, 2e7, "onnx-int8"),
        "torch": (score, 1.5 * latency_ms, 7.2e7, "checkpoint"),
        "torch-bf16": (score + 0.001, 2 * latency_ms, 7.2e7, "checkpoint"),
    }
    return tuple(
        Form(runtime, found + 0.01, found, ms, 1.25 * ms, n_bytes, f"{folder}/{name}")
        for runtime, (found, ms, n_bytes, name) in made.items()
    )


@pytest.fixture
def deployed_result(result: StudyResult) -> StudyResult:
    """The same study with latency among its objectives, its finalists deployed, the smaller one as int8 experts."""
    timed: dict[str, Any] = {
        "latency_ms": 2.0,
        "latency_p90_ms": 2.5,
        "teacher_latency_ms": 8.0,
        "speedup": 4.0,
        "size_bytes": 7e7,
        "timed_on": "Some CPU, 2 cores; onnxruntime 1.31",
    }
    int8 = {**timed, "latency_ms": 0.8, "latency_p90_ms": 1.0, "speedup": 10.0, "size_bytes": 2e7, "form": "onnx-int8"}
    first = replace(result.front[0], **timed, forms=forms(3, 0.83, 2.0), fastest="onnx-int8")
    second = replace(result.front[1], **int8, forms=forms(5, 0.785, 1.6), fastest="onnx-int8")
    settings = replace(
        result.settings,
        objectives=("score", "latency"),
        latency="batch=1,length=p95,threads=1,runtime=onnx",
        latency_length=41,
        teachers=("minilm", "bert-base-uncased"),
        unlabelled_rows=5000,
    )
    records = tuple(_timed(record) for record in result.records)
    teacher = replace(result.teacher, latency_ms=8.0, latency_p90_ms=9.5, size_bytes=9.1e7) if result.teacher else None
    return replace(
        result,
        settings=settings,
        records=records,
        teacher=teacher,
        front=(first, second),
        controls=tuple(replace(control, **timed) for control in result.controls),
        deploy_seconds=60.0,
    )


def _timed(record: TrialRecord) -> TrialRecord:
    if "params" not in record.values:
        return record
    values = {**record.values, "latency_ms": record.values["macs"] / 1.5e8, "active_params": record.values["params"]}
    if record.number == 5:
        values |= {"active_params": 9e6, "nonzero_params": 4e6, "float_valid_score": 0.795}
    return replace(record, values=values)
