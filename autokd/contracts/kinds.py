"""The six kinds of method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from autokd.contracts.batches import Batch, Rows
from autokd.contracts.built import BatchSource, HookRun, LossTerm, ParameterGroup
from autokd.contracts.context import Context, TrainPlan
from autokd.contracts.declarations import BaseModel, Cost, Facts, Sizes
from autokd.contracts.models import Models, Slot
from autokd.core.task import Split


@runtime_checkable
class Method(Protocol):
    """What all six kinds share. Fields of the dataclass are the hyperparameters.

    ``kind`` is one of ``KINDS``; ``source`` the arXiv id (``"2109.11105"``) or ``""`` for common practice;
    ``version`` changes when a method's results do, and invalidates caches. ``facts`` may be a class attribute or a
    property. Validation happens in ``__post_init__`` and raises SpecError. A method that reads pretrained models beside
    teacher and student is ``NeedsAssets`` too.
    """

    kind: ClassVar[str]
    source: ClassVar[str]
    version: ClassVar[int]

    @property
    def facts(self) -> Facts: ...


@runtime_checkable
class NeedsAssets(Method, Protocol):
    """A method with fields that name files, or pretrained models by hub id or folder: neither teacher nor student.

    ``assets`` maps each such field to what it must be (``autokd.contracts.ASSET_KINDS``); an empty field names none.
    The method finds the folder with ``ctx.asset(name)``; a choice of what is not at hand is masked in a search.
    """

    assets: ClassVar[Mapping[str, str]]


@runtime_checkable
class NeedsSteps(Method, Protocol):
    """A method that works in a loop which can be too short for it: a hook with a schedule, an optimizer that gathers.

    Loops ask before their first step, and stages in their forecast, where the number of steps is known.
    """

    def check_steps(self, n_steps: int) -> None:
        """Raises SpecError where a loop of so many steps is too short."""


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
class StartsFresh(Stage, Protocol):
    """A stage that trains the teacher from nothing, where the data's kind has no pretrained models."""

    def start(self, ctx: Context) -> Slot:
        """The network before it is trained."""


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
class MaskingHook(Hook, Protocol):
    """A hook that leaves a share of weights at zero. A loop has at most one hook that prunes, this or the next kind:
    what one of them counts, another would change."""

    @property
    def sparsity(self) -> float:
        """The share of zeros at the end among the weights that it masks, in [0, 1]."""


@runtime_checkable
class ReshapingHook(Hook, Protocol):
    """A hook whose ``finish`` gives a network of another shape. It prunes, see ``MaskingHook``."""

    def sizes_after(self, sizes: Sizes) -> Sizes:
        """The sizes after the stage that the hook is in. The student's totals (parameters, multiply-accumulates) are
        exact; which layers the cut falls on may be known only when it is made."""


@runtime_checkable
class Sampler(Method, Protocol):
    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource: ...


@runtime_checkable
class TextAugmenter(Method, Protocol):
    """An augmenter that rewrites texts once, before training.

    The text augmenters of a stage are an ordered policy: each rewrites what the one before it made of the training
    rows, and the one copy that comes out at the end is trained on beside the rows themselves: twice the data.
    """

    def rewrite(self, rows: Split, ctx: Context) -> Split:
        """The rows with other texts: as many, in the same order, with the same labels. ``rows`` stays as it is.

        Raises Paused where asked to stop; what passes through models is kept in ``ctx.cache`` by content.
        """

    def cost(self, sizes: Sizes) -> Cost:
        """Multiply-accumulates of rewriting one row."""


@runtime_checkable
class BatchTransformer(Method, Protocol):
    """An augmenter that changes each batch. ``factor``: rows per row; such rows bypass the teacher cache."""

    factor: float

    def transform(self, batch: Batch, draw: np.random.Generator) -> Batch: ...


@runtime_checkable
class OptimizerMethod(Method, Protocol):
    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer: ...
