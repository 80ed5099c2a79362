"""A module that is many networks in the loop: their gradients are added up, and a pause changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Dropout, LossTerm, Outputs, Wants
from autokd.core.errors import Paused, TrainingError
from autokd.engine.loop import LoopOptions, train
from autokd.engine.teacher import LiveTeacher
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from tests.engine.parts import Adam, LabelTerm, TaughtTerm, context, pause_after, same, some_rows, teacher_slot, weights

ROWS = some_rows()
OPTIONS = LoopOptions(epochs=2, batch_size=8, dropout=0.1)
MASKS = torch.eye(4).unbind()  # one head of the first layer each


class OneNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = build(tiny_slot(seed=3))

    def network(self, head: int) -> Callable[..., Outputs]:
        """One of the four that use a single head of the first layer."""
        masks = [MASKS[head], torch.ones(4)]
        return lambda batch, wants, *, dropout=None: self.inner(batch, wants, dropout=dropout, head_masks=masks)

    def forward(self, batch: Batch, wants: Wants, *, dropout: Dropout | None = None) -> Outputs:
        return self.inner(batch, wants, dropout=dropout)  # type: ignore[no-any-return]


class OneHead(OneNetwork):
    """Two networks at each step: which ones depends on its number."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def members(self, step: int) -> Sequence[Callable[..., Outputs]]:
        self.asked.append(step)
        return [self.network(step % 4), self.network((step + 1) % 4)]


class BothTerm(LossTerm):
    """What ``OneHead`` is trained by, as a single loss of one network."""

    teacher_wants: Wants | None = None

    def __init__(self, model: OneNetwork) -> None:
        super().__init__()
        self.step, self._model = 0, (model,)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        [model] = self._model
        seen = [model.network((self.step + i) % 4)(batch, Wants()) for i in range(2)]
        self.step += 1
        return torch.stack([LabelTerm()(each, None, batch, dropout) for each in seen]).sum()


def test_a_step_adds_up_the_gradients_of_its_networks(tmp_path: Path) -> None:
    options = replace(OPTIONS, dropout=0.0)
    many, one = OneHead(), OneNetwork()
    train(many, [LabelTerm()], Adam(), options, context(tmp_path / "a"), ROWS)
    train(one, [BothTerm(one)], Adam(), options, context(tmp_path / "b"), ROWS)
    assert many.asked == list(range(10))
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(many)[name], value, atol=1e-5, rtol=1e-4)


def run(folder: Path, precision: torch.dtype, pause: int | None = None) -> nn.Module:
    ctx = context(folder, precision=precision)
    if pause is not None:
        ctx = replace(ctx, should_pause=pause_after(pause))
    teacher = LiveTeacher(teacher_slot(), ctx, Wants(frozenset({1})))
    return train(OneHead(), [LabelTerm(), TaughtTerm()], Adam(), OPTIONS, ctx, ROWS, teacher=teacher)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_run_paused_again_and_again_equals_one_that_was_not(tmp_path: Path, precision: torch.dtype) -> None:
    whole = weights(run(tmp_path / "whole", precision))
    for _ in range(3):
        with pytest.raises(Paused):
            run(tmp_path / "paused", precision, pause=3)
    assert same(whole, weights(run(tmp_path / "paused", precision)))


def test_a_loss_of_any_network_must_be_finite(tmp_path: Path) -> None:
    class Broken(OneHead):
        def members(self, step: int) -> Sequence[Callable[..., Outputs]]:
            def wrong(batch: Batch, wants: Wants, *, dropout: Dropout | None = None) -> Outputs:
                seen: Outputs = self.inner(batch, wants)
                return replace(seen, logits=seen.logits * (torch.nan if step == 3 else 1.0))

            return [self.inner, wrong]

    with pytest.raises(TrainingError, match="at step 4 of 10 it is nan"):
        train(Broken(), [LabelTerm()], Adam(), OPTIONS, context(tmp_path), ROWS)
