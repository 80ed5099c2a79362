"""Shares of the teacher's time: really measured, once for each shape, and handed to stages."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from autokd.core.errors import Paused
from autokd.core.shape import EncoderShape, LayerShape
from autokd.deploy import shape_speed
from autokd.deploy.runtimes import random_inputs
from autokd.deploy.shape_speed import Beside, ShapeRuntime
from autokd.runner import speed
from autokd.runner.jobs import run_job
from autokd.runner.speed import KeptShares
from autokd.testing.tiny import tiny_job, tiny_spec

SMALL = EncoderShape(50, 64, 8, (LayerShape(1, 8, 8),), labels=2)
LARGE = EncoderShape(50, 64, 256, (LayerShape(4, 64, 1024),) * 12, labels=2)


def never() -> bool:
    return False


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[EncoderShape]:
    """Shapes that are asked about while this holds, of which the n-th takes n hundredths of any other's time."""
    seen, number = list[EncoderShape](), count(1)

    def share(self: Beside, shape: EncoderShape) -> float:
        seen.append(shape)
        return next(number) / 100

    monkeypatch.setattr(Beside, "share", share)
    return seen


def test_a_larger_encoder_takes_a_larger_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shape_speed, "SECONDS", 0.1)
    before, stream = torch.get_num_threads(), torch.get_rng_state()
    small, large = KeptShares(tmp_path, never)(LARGE, [SMALL, LARGE], 32)
    assert 0 < small < 0.5 * large
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), stream)


def test_any_encoder_is_timed_whatever_its_words_and_positions() -> None:
    """Foreign teachers are known by a shape that may say nothing of these."""
    unknown = EncoderShape(0, 0, 8, (LayerShape(2, 8, 16),), labels=3, token_types=0, embedding=4)
    runtime = ShapeRuntime(unknown, 9)
    inputs = random_inputs(runtime.vocabulary, 1, 9)
    logits = runtime.run(inputs)
    assert logits.shape == (1, 3)
    assert (logits != 0).all()


def test_what_was_measured_once_is_read(measured: list[EncoderShape], tmp_path: Path) -> None:
    assert KeptShares(tmp_path, never)(LARGE, [SMALL, LARGE], 32) == [0.01, 0.02]
    assert KeptShares(tmp_path, lambda: True)(LARGE, [LARGE, SMALL], 32) == [0.02, 0.01]
    assert measured == [SMALL, LARGE]
    [file] = (tmp_path / "speed").glob("*.jsonl")
    text = file.read_text()
    file.write_text(text[:-4])  # a kill cut the last line off
    assert KeptShares(tmp_path, never)(LARGE, [SMALL, LARGE], 32) == [0.01, 0.03]


def test_another_length_teacher_or_machine_is_another_question(
    measured: list[EncoderShape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = KeptShares(tmp_path, never)
    assert shares(LARGE, [SMALL], 32) == [0.01]
    assert shares(LARGE, [SMALL], 31) == [0.02]
    assert shares(SMALL, [SMALL], 32) == [0.03]
    monkeypatch.setattr(speed, "timing_machine", lambda: "another processor")
    assert shares(LARGE, [SMALL], 32) == [0.04]


def test_measuring_stops_between_shapes_and_goes_on(measured: list[EncoderShape], tmp_path: Path) -> None:
    asked = iter([False, True])
    with pytest.raises(Paused, match="after 1 latencies"):
        KeptShares(tmp_path, lambda: next(asked))(LARGE, [SMALL, LARGE], 32)
    assert KeptShares(tmp_path, never)(LARGE, [SMALL, LARGE], 32) == [0.01, 0.02]


def test_a_trial_measures_what_its_search_limits(measured: list[EncoderShape], tmp_path: Path) -> None:
    def pipeline(**limits: float) -> dict[str, Any]:
        search = {"use": "autodistil:SearchSubnet", "macs": 0.7, "share": 0.3, **limits}
        net = {"use": "autodistil:TrainSupernet", "space": "base", "epochs": 1, "batch_size": 16}
        teach = {"use": "basics:FineTuneTeacher", "model": "tiny", "epochs": 1}
        return {"stages": [teach, net, search, {"use": "basics:Distil", "epochs": 1}]}

    spec = tiny_spec(tmp_path, pipeline(latency=0.03))
    run_job(tiny_job(tmp_path, spec, "prefix"), lambda _: None)
    outcome = run_job(tiny_job(tmp_path, spec), lambda _: None)
    assert outcome.state == "complete", outcome.error + outcome.trace
    assert len({str(shape) for shape in measured}) == len(measured) > 3
    fast = [shape.params() for shape in measured[:3]]
    assert outcome.values["params"] in fast
    n_measured = len(measured)
    tight = run_job(tiny_job(tmp_path, tiny_spec(tmp_path, pipeline(latency=0.005)), name="tight"), lambda _: None)
    assert "takes 0.010 of the teacher's time" in tight.error
    assert len(measured) == n_measured
