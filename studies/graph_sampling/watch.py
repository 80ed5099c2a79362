"""A sampler under observation: how far its sums lie from those over all neighbours, and what its steps take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from autokd.contracts import GRAPH, Batch, BatchSource, Facts, GraphBatch, NodeRows, Outputs, Rows, Sampler, TrainPlan
from autokd.engine.batches import LengthBuckets
from autokd.models.graph import GraphNetwork


@dataclass
class Seen:
    """Of the last fifth of a training, squared distances of the first layer's sums from the whole ones, relative to
    these, summed over the nodes of each step; and the CPU seconds of each step of the whole training."""

    distances: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    model: nn.Module | None = None


@dataclass(frozen=True)
class Watched:
    """A sampler that notes into ``seen``; None draws every neighbour."""

    kind: ClassVar[str] = "sampler"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(data=GRAPH)

    inner: Sampler | None
    seen: Seen = field(compare=False)

    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource:
        assert isinstance(rows, NodeRows)
        inner: BatchSource = (
            LengthBuckets(rows, plan.batch_size, plan.seeds) if self.inner is None else self.inner.build(rows, plan)
        )
        return WatchedSource(inner, plan, self.seen)


class WatchedSource:
    """A source that measures each batch before it hands it out."""

    def __init__(self, inner: BatchSource, plan: TrainPlan, seen: Seen) -> None:
        self._inner, self._seen, self._from, self._step = inner, seen, round(0.8 * plan.n_steps), 0
        self._began: float | None = None
        self.steps_per_epoch = inner.steps_per_epoch

    def next(self) -> Batch:
        """The next batch. Looking at it is no part of a step's time."""
        now = time.thread_time()
        if self._began is not None:
            self._seen.seconds.append(now - self._began)
        self._began = now
        batch = self._inner.next()
        self._step += 1
        assert isinstance(batch, GraphBatch)
        if self._step > self._from and batch.blocks:
            looking = time.thread_time()
            self._seen.distances.append(self._distance(batch))
            self._began += time.thread_time() - looking
        return batch

    def observe(self, outputs: Outputs) -> None:
        self._inner.observe(outputs)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self._inner.state_dict(), "step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._inner.load_state_dict(state["inner"])
        self._step = int(state["step"])

    @torch.no_grad()
    def _distance(self, batch: GraphBatch) -> float:
        """``sum |muhat - mu|^2 / sum |mu|^2`` over the nodes of the layer next to the features."""
        model = self._seen.model
        assert isinstance(model, GraphNetwork)
        assert batch.nodes is not None
        values = batch.graph.features.product(model.layers[0].weight)  # type: ignore[arg-type]
        block = batch.blocks[-1]
        whole = batch.graph.mixing.take(batch.nodes[block.own]).product(values)
        drawn = block.mixing.product(values[batch.nodes])
        return float((drawn - whole).square().sum() / whole.square().sum())


@dataclass(frozen=True)
class ShowModel:
    """A hook that tells ``seen`` which model trains."""

    kind: ClassVar[str] = "hook"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(data=GRAPH)

    seen: Seen = field(compare=False)

    def build(self, model: nn.Module, plan: TrainPlan) -> ShowModel:
        self.seen.model = model
        return self

    def cost(self, sizes: Any) -> float:
        return 0.0

    def after_step(self, step: int) -> None:
        """The model is the same one."""

    def finish(self, model: nn.Module) -> nn.Module:
        return model

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is no state."""
