"""What the autokd arms hand to the loop so that it can be measured: stamped steps, chosen rows, recorded losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from plan import LEARNING_RATE
from systems import Clock
from torch import Tensor

from autokd.contracts import Batch, Dropout, Facts, LossTerm, Outputs, ParameterGroup, Rows, TrainPlan
from autokd.engine.batches import LengthBuckets
from autokd.methods.basics.optimizers import AdamW


@dataclass(frozen=True)
class TimedAdamW:
    """AdamW whose steps are stamped."""

    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    clock: Clock

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        optimizer = AdamW(lr=LEARNING_RATE, weight_decay=0.0).build(groups)
        optimizer.register_step_post_hook(self.clock.step)
        return optimizer


@dataclass(frozen=True)
class ChosenRows:
    """A sampler: length buckets over some of the rows, while the loop knows (and keeps the vocabulary of) all."""

    kind: ClassVar[str] = "sampler"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    positions: tuple[int, ...]
    clock: Clock

    def build(self, rows: Rows, plan: TrainPlan) -> ChosenBatches:
        return ChosenBatches(rows, torch.tensor(self.positions), plan, self.clock)


class ChosenBatches:
    """The engine's own LengthBuckets over a selection of rows."""

    def __init__(self, rows: Rows, positions: Tensor, plan: TrainPlan, clock: Clock) -> None:
        self._positions = positions
        self._clock = clock
        self._buckets = LengthBuckets(selected(rows, positions), plan.batch_size, plan.seeds)
        self.steps_per_epoch = self._buckets.steps_per_epoch

    def next(self) -> Batch:
        self._clock.begin()
        batch = self._buckets.next()
        return replace(batch, rows=self._positions[batch.rows])

    def observe(self, outputs: Outputs) -> None:
        self._buckets.observe(outputs)

    def state_dict(self) -> dict[str, Any]:
        return self._buckets.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._buckets.load_state_dict(state)


class Recorded(LossTerm):
    """A term whose weighted values are kept, added up over the terms of a step."""

    def __init__(self, term: LossTerm, values: list[float]) -> None:
        super().__init__()
        self.term, self.values = term, values
        self.weight = term.weight
        self.student_wants, self.teacher_wants = term.student_wants, term.teacher_wants

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        value: Tensor = self.term(student, teacher, batch, dropout)
        self.values.append(self.weight * value.item())
        return value


def selected(rows: Rows, positions: Tensor) -> Rows:
    """The rows at these positions, as rows of their own."""
    lengths = rows.lengths[positions]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    starts = torch.repeat_interleave(rows.offsets[positions] - offsets[:-1], lengths)
    places = starts + torch.arange(int(offsets[-1]))
    return Rows(rows.ids[places], rows.types[places], offsets, rows.labels[positions], rows.keys[positions])
