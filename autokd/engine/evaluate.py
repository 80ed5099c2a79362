"""Predictions and scores, in row order, with all randomness off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autokd.contracts import Rows, Slot
from autokd.engine.batches import scoring_batches
from autokd.engine.precision import autocast
from autokd.measure.metrics import find_metric
from autokd.models.slots import build

_BATCH_SIZE = 64


@torch.no_grad()
def predict(model: nn.Module, rows: Rows, device: torch.device, precision: torch.dtype = torch.float32) -> Tensor:
    """The logits [n_rows, n_outputs] of every row, float32, on the CPU, in the order of the rows."""
    model.eval()
    parts: list[Tensor] = []
    places: list[Tensor] = []
    with autocast(device, precision):
        for batch in scoring_batches(rows, _BATCH_SIZE):
            parts.append(model(batch.to(device)).logits.float().cpu())
            places.append(batch.rows)
    logits = torch.cat(parts)
    result = torch.empty_like(logits)
    result[torch.cat(places)] = logits
    return result


def score_rows(
    model: nn.Module, rows: Rows, metric: str, device: torch.device, precision: torch.dtype = torch.float32
) -> float:
    """The model's score on labelled rows by the metric of this name (a fraction, or a correlation)."""
    logits = predict(model, rows, device, precision)
    return find_metric(metric).score(logits.numpy(), rows.labels.numpy())


def score_slot(
    slot: Slot, rows: Rows, metric: str, device: torch.device, precision: torch.dtype = torch.float32
) -> float:
    """The score of a fresh module built from the slot."""
    return score_rows(build(slot).to(device), rows, metric, device, precision)
