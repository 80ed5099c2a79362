"""Predictions come in row order and scores from the named metric."""

from __future__ import annotations

import pytest
import torch

from autokd.engine.batches import collate
from autokd.engine.evaluate import predict, score_rows, score_slot
from autokd.models.slots import build
from tests.engine.parts import CPU, some_rows, teacher_slot


def test_predictions_are_in_row_order() -> None:
    rows, model = some_rows(150), build(teacher_slot())
    found = predict(model, rows, CPU)
    assert found.shape == (150, 2)
    assert found.dtype == torch.float32
    for i in (0, 77, 149):
        with torch.no_grad():
            assert torch.allclose(found[i], model(collate(rows, torch.tensor([i]))).logits[0], atol=1e-5)


def test_bfloat16_predictions_are_near_and_still_float32() -> None:
    rows, model = some_rows(20), build(teacher_slot())
    found = predict(model, rows, CPU, torch.bfloat16)
    assert found.dtype == torch.float32
    assert torch.allclose(found, predict(model, rows, CPU), atol=0.02)


def test_a_score_is_the_metrics() -> None:
    rows = some_rows(60)
    right = (predict(build(teacher_slot()), rows, CPU).argmax(1) == rows.labels).double().mean()
    assert score_slot(teacher_slot(), rows, "accuracy", CPU) == pytest.approx(float(right))
    assert score_rows(build(teacher_slot()), rows, "accuracy", CPU) == pytest.approx(float(right))
