"""What the parts of a compression pipeline agree on. Read this file first.

A pipeline is a list of *stages*. Each takes and returns ``Models``, an immutable map of named network values, and
may use the five other kinds of method: objectives, hooks, samplers, augmenters, optimizers. Every method is a frozen
dataclass whose fields are its hyperparameters and which has one method that builds something; what it builds carries
its own state and can be saved and restored exactly.

==========  ==================================================  ===============================================
kind        its one method                                      what is built
==========  ==================================================  ===============================================
Stage       ``run(models, ctx) -> Models``                      new network values
Objective   ``build(models, ctx) -> LossTerm``                  an nn.Module: projections, critics train along
Hook        ``build(model, plan) -> HookRun``                   acts after each optimizer step
Sampler     ``build(rows, plan) -> BatchSource``                decides which rows a step sees
Augmenter   ``expand(task, seeds) -> Task`` or                  more rows once, or a recipe for each batch
            ``transform(batch, draw) -> Batch``
Optimizer   ``build(groups) -> torch.optim.Optimizer``          the optimizer itself
==========  ==================================================  ===============================================

Before anything runs, methods *declare*: ``facts`` (what must hold and what will hold), ``wants`` (which tensors of a
forward pass), and ``cost`` (multiply-accumulates in closed form). From these come the order check, the teacher cache
and the budget forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.core.task import Task

# ---------------------------------------------------------------------------------------------- declarations


@dataclass(frozen=True)
class Facts:
    """What a method needs to hold before it runs, must not find, and makes true or untrue.

    Slots are facts of their own name. Further facts in use: ``text``, ``classification``, ``regression`` (the task),
    ``trained_student`` (the student was distilled or fine-tuned), ``hash_routed`` (experts chosen by token id).
    """

    needs: frozenset[str] = frozenset()
    forbids: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wants:
    """Which tensors of a forward pass someone will read.

    ``hidden`` lists indices of hidden states, 0 the embedding output, ``i`` the output of layer ``i`` (1-based).
    ``attention`` asks for the queries, keys and values of every layer.
    """

    hidden: frozenset[int] = frozenset()
    attention: bool = False

    def __or__(self, other: Wants) -> Wants:
        return Wants(self.hidden | other.hidden, self.attention or other.attention)


@dataclass(frozen=True)
class Sizes:
    """What a forecast knows at some point of a pipeline: data, and the shapes of the networks so far.

    ``rows`` is the number of training rows, ``length`` their mean number of tokens. A shape is None where it cannot
    be known beforehand; costs that follow are then marked as unknown. ``dense_teacher`` None: the teacher itself.
    """

    rows: int
    length: float
    teacher: EncoderShape
    student: EncoderShape | None = None
    student_init: EncoderShape | None = None
    dense_teacher: EncoderShape | None = None


@dataclass(frozen=True)
class Cost:
    """Forecast of a stage: training and scoring multiply-accumulates in all; ``known`` False where it is a guess."""

    macs: float
    known: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.known and other.known)


# A backward pass costs twice a forward pass: one product for the inputs' gradient and one for the weights'.
TRAINING_FACTOR = 3.0

# ---------------------------------------------------------------------------------------------- data in flight


@dataclass(frozen=True)
class Rows:
    """The tokenised rows of one split, ragged: row ``i`` holds ``ids[offsets[i]:offsets[i + 1]]``.

    ids: int64 [n_tokens]; types: int64 [n_tokens] (segment ids); offsets: int64 [n_rows + 1];
    labels: int64 [n_rows] class ids, or float32 [n_rows]; keys: int64 [n_rows], a content hash of each row's tokens,
    by which teacher outputs are cached.
    """

    ids: Tensor
    types: Tensor
    offsets: Tensor
    labels: Tensor
    keys: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        return self.offsets[1:] - self.offsets[:-1]


@runtime_checkable
class Transform(Protocol):
    """A recipe that one batch carries and every network applies, whatever its width (mixup: who with whom)."""

    def embeddings(self, value: Tensor) -> Tensor:
        """From word embeddings [batch, length, width] to those that the encoder reads."""

    def mask(self, value: Tensor) -> Tensor:
        """From the padding mask [batch, length] (1 real, 0 padding) to the one to use."""

    def segments(self, value: Tensor) -> Tensor:
        """From segment ids [batch, length], which cannot be mixed, to those of the new rows."""

    def targets(self, value: Tensor) -> Tensor:
        """From targets [batch, n_outputs] (probabilities, or values for regression) to those of the new rows."""


@dataclass(frozen=True)
class Batch:
    """One step's rows. ``ids, types, mask`` are [batch, length] int64 (mask: 1 real, 0 padding), ``labels`` [batch].

    ``rows`` [batch] are positions in the training rows. Data of other kinds (a graph) come as a subclass with what
    its networks read; the loop itself looks at ``rows``, ``labels`` and ``transform`` only.
    """

    ids: Tensor
    types: Tensor
    mask: Tensor
    labels: Tensor
    rows: Tensor
    transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("ids", "types", "mask", "labels")}
        return replace(self, **moved)

    def targets(self, n_outputs: int) -> Tensor:
        """Gold targets as [batch, n_outputs]: one-hot classes or regression values, mixed where a recipe says so."""
        if n_outputs == 1:
            target = self.labels.float().unsqueeze(1)
        else:
            target = nn.functional.one_hot(self.labels, n_outputs).float()
        return self.transform.targets(target) if self.transform is not None else target


@dataclass(frozen=True)
class Outputs:
    """What a forward pass returns: ``logits`` [batch, n_outputs], ``mask`` [batch, length] as it was used,
    ``hidden`` {index: [batch, length, width]}, ``attention`` a tuple over layers of (Q, K, V), each
    [batch, heads, length, head_width]. Only what was wanted is there.
    """

    logits: Tensor
    mask: Tensor
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    attention: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()


@runtime_checkable
class Dropout(Protocol):
    """Dropout with a random stream of its own: nothing here draws from torch's global generator."""

    def __call__(self, value: Tensor, rate: float) -> Tensor: ...


class Network(nn.Module):
    """A network that the loop can train: a batch in, outputs out.

    ``dropout`` None means evaluation (no dropout at all). ``head_masks`` and ``neuron_masks`` ([depth] lists of
    [heads] and [ffn] tensors) multiply heads' contexts and FFN activations; their gradients score them.
    """

    shape: EncoderShape

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> Outputs:
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class Slot:
    """A network as a read-only value: what builds it, its shape or configuration, its weights, its tokenizer.

    ``builder`` is ``"package.module:Class"`` of a class with ``from_config(config) -> nn.Module``. ``weights`` are
    never written to: ``build`` copies them into a fresh module. ``tokenizer`` is a folder that AutoTokenizer loads.
    ``content`` is a hash of builder, configuration and weights.
    """

    builder: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    content: str
    tokenizer: str = ""

    # Made by autokd.models.slots: make_slot(module, ...), build(slot), save_slot, load_slot.


class Models(Mapping[str, Slot]):
    """An immutable map of named slots: ``teacher, dense_teacher, student, student_init`` and what stages add."""

    def __init__(self, slots: Mapping[str, Slot] | None = None) -> None:
        self._slots = MappingProxyType(dict(slots or {}))

    def __getitem__(self, name: str) -> Slot:
        if name not in self._slots:
            raise KeyError(f"no slot {name!r}; there are {sorted(self._slots)}")
        return self._slots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def with_slots(self, **slots: Slot) -> Models:
        """A new map with these slots set."""
        return Models({**self._slots, **slots})

    def without(self, *names: str) -> Models:
        """A new map without these slots."""
        return Models({name: slot for name, slot in self._slots.items() if name not in names})


# ---------------------------------------------------------------------------------------------- context


@dataclass(frozen=True)
class Context:
    """What a stage may know and use, beside the models.

    ``task`` holds the texts; ``rows(split, slot)`` the tokenised rows of a split for one slot's tokenizer (cached).
    ``seeds`` are already those of this stage and replicate. ``folder`` is where this stage's loop keeps its
    checkpoint; ``cache`` the root of artifacts named by content. ``report(step, score)`` tells the study how far the
    stage is; ``should_pause()`` says whether to save and raise ``Paused`` (deadline or stop request).
    ``propose`` is a proposer for stages that search inside themselves (None: none was handed in).
    """

    task: Task
    rows: Callable[[str, Slot], Rows]
    encode: Callable[[Any, Slot], Rows]  # (Split, Slot) -> Rows, for rows that a stage made itself
    base: Callable[[str], Slot]  # a base model of the study's assets, by the name that the pipeline uses
    seeds: Seeds
    folder: Path
    cache: Path
    device: torch.device
    precision: torch.dtype
    report: Callable[[int, float], None]
    should_pause: Callable[[], bool]
    propose: Callable[..., Any] | None = None

    @property
    def n_outputs(self) -> int:
        return self.task.n_outputs


@dataclass(frozen=True)
class TrainPlan:
    """What hooks and samplers know of the loop they run in: its length in steps and the batch size."""

    n_steps: int
    steps_per_epoch: int
    batch_size: int
    seeds: Seeds


# ---------------------------------------------------------------------------------------------- what methods build


class LossTerm(nn.Module):
    """One term of the training loss, with whatever trains beside the student (projections, filters, critics).

    ``student_wants`` and ``teacher_wants`` say which tensors ``forward`` reads; ``teacher_wants`` None: no teacher
    at all. ``weight`` multiplies the term in the loop.
    """

    weight: float = 1.0
    student_wants: Wants = Wants()
    teacher_wants: Wants | None = Wants()

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        """The scalar loss of this batch, a mean over what it sums. ``dropout`` serves terms that drop units."""
        raise NotImplementedError


class HookRun(Protocol):
    """A hook at work in one loop: its state resumes exactly."""

    def after_step(self, step: int) -> None:
        """After ``optimizer.step`` number ``step`` (1-based), while gradients are alive, before ``zero_grad``."""

    def finish(self, model: nn.Module) -> nn.Module:
        """After the last step: the model to keep, which may have another shape."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class BatchSource(Protocol):
    """An endless source of batches whose position can be saved. One epoch is ``steps_per_epoch`` batches."""

    steps_per_epoch: int

    def next(self) -> Batch: ...

    def observe(self, outputs: Outputs) -> None:
        """What the student made of the last batch (bandits learn from it)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a weight decay; names as in ``named_parameters``."""

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    decay: bool


# ---------------------------------------------------------------------------------------------- the six kinds


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
