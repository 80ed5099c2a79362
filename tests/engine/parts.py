"""Small parts for tests of the engine: rows, a context, loss terms, and methods that build them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from autokd.contracts import (
    Batch,
    Context,
    Dropout,
    Facts,
    LossTerm,
    Outputs,
    ParameterGroup,
    Rows,
    Sizes,
    Slot,
    TrainPlan,
    Wants,
)
from autokd.core.seeds import Seeds
from autokd.core.task import Split, Task
from autokd.engine import losses
from autokd.engine.tokens import make_rows
from autokd.models.linear import Linear
from autokd.models.tiny import tiny_slot

CPU = torch.device("cpu")


def some_rows(n: int = 40, seed: int = 0, low: int = 3, high: int = 14, words: int = 60) -> Rows:
    """Random rows over the lower part of a vocabulary; labels 0 and 1."""
    draw = np.random.Generator(np.random.PCG64(seed))
    ids = [draw.integers(5, words, size=int(draw.integers(low, high))).tolist() for _ in range(n)]
    return make_rows(ids, [[0] * len(row) for row in ids], torch.tensor(draw.integers(0, 2, size=n)))


def never() -> bool:
    return False


def context(folder: Path, **changes: Any) -> Context:
    """A context on the CPU in float32; tests change what they need."""
    split = Split(("a",), None, (0,))
    task = Task("tiny", split, split, split, ("no", "yes"), "classification", "accuracy")

    def nothing(*_: object) -> Any:
        raise AssertionError("the engine reads no rows or models of a context")

    made = Context(
        task=task,
        rows=nothing,
        encode=nothing,
        base=nothing,
        seeds=Seeds(1, "tests:Stage"),
        folder=folder / "loop",
        cache=folder / "cache",
        device=CPU,
        precision=torch.float32,
        report=lambda step, score: None,
        should_pause=never,
    )
    return replace(made, **changes)


def pause_after(steps: int) -> Callable[[], bool]:
    """Asks to pause when it is called for the ``steps + 1``-th time."""
    calls = iter(range(steps))
    return lambda: next(calls, None) is None


class LabelTerm(LossTerm):
    teacher_wants: Wants | None = None

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        return losses.target_cross_entropy(student.logits, batch.targets(student.logits.shape[1]))


class TaughtTerm(LossTerm):
    """Logits and one projected hidden state: a term with weights and dropout of its own."""

    def __init__(self, layer: int = 1, width: int = 16) -> None:
        super().__init__()
        self.student_wants = Wants(frozenset({layer}))
        self.teacher_wants = Wants(frozenset({layer}))
        self.layer, self.weight = layer, 0.5
        self.projection = Linear(width, width)
        nn.init.eye_(self.projection.weight)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        assert teacher is not None
        made = dropout(self.projection(student.hidden[self.layer]), 0.2)
        hidden = losses.masked_mean_squared_error(made, teacher.hidden[self.layer], student.mask)
        return losses.kl_divergence(student.logits, teacher.logits, 2.0) + hidden


@dataclass(frozen=True)
class Adam:
    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    lr: float = 1e-2
    weight_decay: float = 0.1

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        told = [{"params": list(g.parameters), "weight_decay": self.weight_decay if g.decay else 0.0} for g in groups]
        return torch.optim.AdamW(told, lr=self.lr, fused=True)


@dataclass(frozen=True)
class Averaging:
    """A hook with state: keeps a running mean of one weight and puts it in place at the end."""

    kind: ClassVar[str] = "hook"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    def build(self, model: nn.Module, plan: TrainPlan) -> AveragingRun:
        return AveragingRun(model.classifier.weight)  # type: ignore[union-attr, arg-type]

    def cost(self, sizes: Sizes) -> float:
        return 0.0


@dataclass
class AveragingRun:
    weight: nn.Parameter
    mean: Tensor = field(init=False)
    gradients: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mean = torch.zeros_like(self.weight)

    def after_step(self, step: int) -> None:
        assert self.weight.grad is not None
        self.gradients.append(float(self.weight.grad.abs().sum()))
        self.mean += (self.weight.detach() - self.mean) / step

    def finish(self, model: nn.Module) -> nn.Module:
        with torch.no_grad():
            self.weight.copy_(self.mean)
        return model

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "gradients": self.gradients}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean = state["mean"].clone()
        self.gradients = list(state["gradients"])


@dataclass(frozen=True)
class SwapRecipe:
    """Every row's embeddings mixed with its partner's, as many rows as before."""

    weight: float
    partner: Tensor

    def embeddings(self, value: Tensor) -> Tensor:
        return self.weight * value + (1 - self.weight) * value[self.partner]

    def mask(self, value: Tensor) -> Tensor:
        return torch.maximum(value, value[self.partner])

    def segments(self, value: Tensor) -> Tensor:
        return value

    def targets(self, value: Tensor) -> Tensor:
        return self.weight * value + (1 - self.weight) * value[self.partner]


@dataclass(frozen=True)
class Swap:
    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()
    factor: ClassVar[float] = 1.0

    def transform(self, batch: Batch, draw: np.random.Generator) -> Batch:
        return replace(
            batch, transform=SwapRecipe(float(draw.uniform(0.5, 1)), torch.from_numpy(draw.permutation(len(batch))))
        )


def teacher_slot() -> Slot:
    return tiny_slot(seed=7)


def global_states() -> tuple[Any, ...]:
    """The states of every global random stream."""
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, keys.tolist(), tuple(rest), torch.get_rng_state().tolist()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
