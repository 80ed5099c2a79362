from __future__ import annotations

from dataclasses import replace

import pytest

from autokd.core.result import StudyResult
from autokd.report.deployment import deployed, measured_how, section


def test_runtimes_stand_by_speed_with_their_difference_to_the_float_checkpoint(deployed_result: StudyResult) -> None:
    rows = deployed(deployed_result.front[0])
    assert [row.form.runtime for row in rows] == ["onnx-int8", "onnx", "torch", "torch-bf16"]
    assert [row.fastest for row in rows] == [True, False, False, False]
    assert rows[0].test_difference == pytest.approx(-0.005)
    assert rows[0].valid_difference == pytest.approx(-0.005)
    assert rows[1].test_difference == 0.0
    assert rows[2].test_difference is None
    assert [row.speedup for row in rows] == [8.0, 4.0, pytest.approx(8 / 3), 2.0]


def test_nothing_is_compared_with_what_was_not_measured(deployed_result: StudyResult) -> None:
    finalist = deployed_result.front[0]
    without = replace(finalist, teacher_latency_ms=None, forms=finalist.forms[:2])
    rows = deployed(without)
    assert all(row.speedup is None and row.test_difference is None for row in rows)
    assert "onnx-int8" in section(replace(deployed_result, front=(without,)))


def test_how_latency_was_measured_is_said_in_words(deployed_result: StudyResult) -> None:
    told = measured_how(deployed_result)
    assert "one text of 41 tokens (95 % of the training texts are no longer) on one CPU thread" in told
    assert "the teacher runs in onnxruntime, float32" in told
    assert told.endswith("The machine: Some CPU, 2 cores; onnxruntime 1.31.")
    settings = replace(
        deployed_result.settings, latency="batch=32,length=64,threads=2,runtime=torch", latency_length=64
    )
    told = measured_how(replace(deployed_result, settings=settings))
    assert "32 texts of 64 tokens on 2 CPU threads; the teacher runs in torch, float32" in told


def test_a_study_that_deployed_nothing_has_no_such_section(result: StudyResult) -> None:
    assert section(result) == ""


def test_folders_cannot_become_markup(deployed_result: StudyResult) -> None:
    finalist = deployed_result.front[0]
    evil = replace(finalist, forms=tuple(replace(form, folder="<img src=x>") for form in finalist.forms))
    page = section(replace(deployed_result, front=(evil,)))
    assert "<img" not in page
    assert "&lt;img" in page
