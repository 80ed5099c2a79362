"""A small invented study: the report's tests need one whose every figure is known."""

from __future__ import annotations

from typing import Any

import pytest

from autokd.core.record import Finalist, Teacher, TrialRecord
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
