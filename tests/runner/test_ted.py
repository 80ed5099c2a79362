"""TED and AdaShift as whole trials: stopped at every chance, and taught by a teacher that cannot be cut."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from autokd.core.job import Outcome
from autokd.models.tiny import tiny_foreign
from autokd.runner.jobs import run_job
from autokd.runner.watch import Watch
from autokd.testing.tiny import tiny_job, tiny_spec, tiny_texts

OPTIMIZER = {"use": "adashift:AdaShift", "lr": 0.01, "keep": 3}
TAUGHT = [{"use": "basics:Labels"}, {"use": "basics:Logits"}, {"use": "ted:FilteredHidden"}]


def pipeline(teacher: str, student: Mapping[str, Any]) -> dict[str, Any]:
    tuned = {"use": "basics:Distil", "objectives": [{"use": "basics:Labels"}], "epochs": 1}
    ted = {"use": "basics:Distil", "objectives": TAUGHT, "epochs": 3, "batch_size": 16, "optimizer": OPTIMIZER}
    teach = {"use": "basics:FineTuneTeacher", "model": teacher, "epochs": 2}
    return {"stages": [teach, student, tuned, {"use": "ted:LearnFilters", "epochs": 2}, ted]}


def weights(outcome: Outcome) -> dict[str, np.ndarray]:
    assert outcome.state == "complete", outcome.error + outcome.trace
    return load_file(Path(outcome.checkpoint) / "model.safetensors")


def test_a_trial_stopped_again_and_again_equals_one_that_ran_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(tmp_path, pipeline("tiny", {"use": "basics:TruncateLayers", "keep": 1}))
    run_job(tiny_job(tmp_path, spec, "prefix"), lambda _: None)
    whole = weights(run_job(tiny_job(tmp_path, spec, name="whole"), lambda _: None))
    asked = count(1)
    monkeypatch.setattr(Watch, "should_pause", lambda self: next(asked) % 3 == 0)
    pauses = 0
    while (outcome := run_job(tiny_job(tmp_path, spec, name="parts"), lambda _: None)).state == "paused":
        pauses += 1
        assert pauses < 100
    assert pauses >= 6
    parts = weights(outcome)
    assert whole.keys() == parts.keys()
    assert not any("filter" in name for name in whole)
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_a_teacher_that_cannot_be_cut_has_filters_too(tmp_path: Path) -> None:
    tiny_foreign(tmp_path / "models" / "foreign", tiny_texts())
    spec = tiny_spec(
        tmp_path,
        pipeline("foreign", {"use": "basics:LoadStudent", "model": "tiny"}),
        assets={name: str(tmp_path / "models" / name) for name in ("tiny", "foreign")},
    )
    run_job(tiny_job(tmp_path, spec, "prefix"), lambda _: None)
    assert weights(run_job(tiny_job(tmp_path, spec), lambda _: None))
