"""The six kinds of method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from autokd.contracts.batches import Batch, Rows
from autokd.contracts.built import BatchSource, HookRun, LossTerm, ParameterGroup
from autokd.contracts.context import Context, TrainPlan
from autokd.contracts.declarations import BaseModel, Cost, Facts, Sizes
from autokd.contracts.models import Models
from autokd.core.seeds import Seeds
from autokd.core.task import Task


@runtime_checkable
class Method(Protocol):
    """What all six kinds share. Fields of the dataclass are the hyperparameters.

    ``kind`` is one of ``KINDS``; ``source`` the arXiv id (``"2109.11105"``) or ``""`` for common practice;
    ``version`` changes when a method's results do, and invalidates caches. ``facts`` may be a class attribute or a
    property. Validation happens in ``__post_init__`` and raises SpecError.
    """

    kind: ClassVar[str]
    source: ClassVar[str]
    version: ClassVar[int]

    @property
    def facts(self) -> Facts: ...


KINDS = ("stage", "objective", "hook", "sampler", "augmenter", "optimizer")


@runtime_checkable
class Stage(Method, Protocol):
    """One step of a pipeline. ``shared`` stages at the start of a pipeline are run once per study."""

    shared: ClassVar[bool]

    def run(self, models: Models, ctx: Context) -> Models: ...

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """The stage's forecast, and the sizes as they will be after it."""


@runtime_checkable
class StartsFromBase(Stage, Protocol):
    """A stage that starts from the pretrained model named by its field ``model``.

    Its plain ``facts`` are those with an encoder of the teacher's tokenizer, for whoever knows nothing of the model.
    """

    model: str

    def facts_with(self, base: BaseModel) -> Facts:
        """The facts with this model. Raises SpecError for a model that the stage cannot start from."""


@runtime_checkable
class Objective(Method, Protocol):
    def build(self, models: Models, ctx: Context) -> LossTerm: ...

    def cost(self, sizes: Sizes) -> float:
        """Forward multiply-accumulates per training row beside the networks' own."""


@runtime_checkable
class Hook(Method, Protocol):
    def build(self, model: nn.Module, plan: TrainPlan) -> HookRun: ...

    def cost(self, sizes: Sizes) -> float:
        """Multiply-accumulates per optimizer step."""


@runtime_checkable
class ReshapingHook(Hook, Protocol):
    """A hook whose ``finish`` gives a network of another shape. A loop has at most one."""

    def sizes_after(self, sizes: Sizes) -> Sizes:
        """The sizes after the stage that the hook is in. The student's totals (parameters, multiply-accumulates) are
        exact; which layers the cut falls on may be known only when it is made."""


@runtime_checkable
class Sampler(Method, Protocol):
    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource: ...


@runtime_checkable
class Expander(Method, Protocol):
    """An augmenter that adds rows once, before training. ``factor`` is how many times as many rows there will be."""

    factor: float

    def expand(self, task: Task, seeds: Seeds) -> Task: ...


@runtime_checkable
class BatchTransformer(Method, Protocol):
    """An augmenter that changes each batch. ``factor``: rows per row; such rows bypass the teacher cache."""

    factor: float

    def transform(self, batch: Batch, draw: np.random.Generator) -> Batch: ...


@runtime_checkable
class OptimizerMethod(Method, Protocol):
    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer: ...
