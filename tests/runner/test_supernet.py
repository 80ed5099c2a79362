"""Supernets as shared stages: made once, behind a teacher that other pipelines share, and whole trials with them."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from autokd.core.job import Outcome
from autokd.methods.basics import FineTuneTeacher
from autokd.runner import prefix_key, prefix_ready
from autokd.runner.jobs import run_job
from autokd.runner.prefix import load_prefix
from autokd.runner.watch import Watch
from autokd.testing.tiny import tiny_job, tiny_spec

TEACH = {"use": "basics:FineTuneTeacher", "model": "tiny", "epochs": 2}
NET = {"use": "autodistil:TrainSupernet", "space": "base", "epochs": 3, "batch_size": 16}
DISTIL = {"use": "basics:Distil", "epochs": 1}


def pipeline(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"stages": [TEACH, *stages, DISTIL]}


def weights(outcome: Outcome) -> dict[str, np.ndarray]:
    assert outcome.state == "complete", outcome.error + outcome.trace
    return load_file(Path(outcome.checkpoint) / "model.safetensors")


def test_a_study_with_a_supernet_stopped_again_and_again_equals_one_that_ran_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"use": "autodistil:SearchSubnet", "macs": 0.7, "share": 0.3}
    whole_spec = tiny_spec(tmp_path, pipeline(NET, search))
    run_job(tiny_job(tmp_path, whole_spec, "prefix"), lambda _: None)
    whole = run_job(tiny_job(tmp_path, whole_spec, name="whole"), lambda _: None)
    assert json.loads((Path(whole.checkpoint) / "config.json").read_text())["model_type"] == "autokd"
    spec = tiny_spec(tmp_path, pipeline(NET, search), cache=str(tmp_path / "other-cache"))
    asked = count(1)
    monkeypatch.setattr(Watch, "should_pause", lambda self: next(asked) % 7 == 0)
    pauses = 0
    for kind in ("prefix", "trial"):
        while (
            outcome := run_job(tiny_job(tmp_path, spec, kind, name=f"parts-{kind}"), lambda _: None)
        ).state == "paused":
            pauses += 1
            assert pauses < 100
    assert pauses >= 4
    parts = weights(outcome)
    assert all(np.array_equal(value, parts[name]) for name, value in weights(whole).items())
    assert outcome.values == whole.values


def test_a_longer_prefix_begins_behind_a_shorter_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned, run = list[int](), FineTuneTeacher.run
    monkeypatch.setattr(FineTuneTeacher, "run", lambda self, models, ctx: tuned.append(1) or run(self, models, ctx))
    truncate = {"use": "basics:TruncateLayers", "keep": 1}
    short = tiny_spec(tmp_path, pipeline(truncate))
    long = tiny_spec(tmp_path, pipeline(NET, {"use": "autodistil:ExtractSubnet"}))
    assert prefix_key(short) != prefix_key(long)
    assert prefix_key(short) == prefix_key(long, 1)
    teacher = run_job(tiny_job(tmp_path, short, "prefix", name="short"), lambda _: None)
    net = run_job(tiny_job(tmp_path, long, "prefix", name="long"), lambda _: None)
    assert tuned == [1]
    assert net.state == "complete"
    assert net.values == teacher.values
    assert net.trained_macs > 0
    (models, seconds), (before, alone) = load_prefix(long), load_prefix(short)
    assert set(models) == {"teacher", "dense_teacher", "supernet", "supernet_teacher"}
    assert models["teacher"].content == before["teacher"].content
    assert seconds > alone


def test_a_shorter_prefix_is_left_by_a_longer_one(tmp_path: Path) -> None:
    short = tiny_spec(tmp_path, pipeline({"use": "basics:TruncateLayers", "keep": 1}))
    long = tiny_spec(tmp_path, pipeline(NET, {"use": "autodistil:ExtractSubnet"}))
    run_job(tiny_job(tmp_path, long, "prefix", name="long"), lambda _: None)
    assert prefix_ready(short)
    again = run_job(tiny_job(tmp_path, short, "prefix", name="another-study"), lambda _: None)
    assert again.state == "complete"
    assert again.trained_macs == 0
    assert {"valid_score", "test_score", "params", "macs"} <= set(again.values)
    assert set(load_prefix(short)[0]) == {"teacher", "dense_teacher"}
