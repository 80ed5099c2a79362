"""Gradients' norm and bound, with sparse and dense ones alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autokd.engine.gradients import Gradients


def parameters() -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(9, 4, generator=draw)), nn.Parameter(torch.randn(4, generator=draw))]


def backward(made: list[nn.Parameter], sparse: bool, scale: float = 1.0, ids: tuple[int, ...] = (3, 1, 3, 7)) -> None:
    table, bias = made
    rows = nn.functional.embedding(torch.tensor(ids), table, sparse=sparse)
    ((rows * bias).pow(2).sum() * scale).backward()


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("bound", [0.0, 0.5, 1e6])
def test_bounds_equal_torchs_for_dense_gradients(sparse: bool, bound: float) -> None:
    ours, theirs = parameters(), parameters()
    backward(ours, sparse)
    backward(theirs, False)
    Gradients(ours).settle(bound)
    if bound:
        nn.utils.clip_grad_norm_(theirs, bound)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert mine.grad.layout == torch.strided
        torch.testing.assert_close(mine.grad, other.grad)


def test_nothing_is_left_for_the_next_step() -> None:
    ours, theirs = parameters(), parameters()
    gradients = Gradients(ours)
    backward(ours, True, 5.0)
    gradients.settle(1.0)
    gradients.clear()
    assert all(parameter.grad is None for parameter in ours)
    backward(ours, True, ids=(0, 8))
    backward(theirs, False, ids=(0, 8))
    gradients.settle(0.0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_parameters_without_gradients_are_left_alone() -> None:
    made = parameters()
    gradients = Gradients(made)
    gradients.settle(1.0)
    assert made[0].grad is None
    made[1].grad = torch.full((4,), 2.0)
    gradients.settle(1.0)
    assert float(made[1].grad.norm()) == pytest.approx(1.0, rel=1e-4)
