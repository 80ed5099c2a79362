"""Sparse teachers that a student learns more from (StarK, arXiv:2210.03923)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Cost, Facts, Models, Network, Sizes
from autokd.engine import losses
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.scan import scan
from autokd.models.elastic import keep_units, lowest, shape_of, unit_masks, without_units
from autokd.models.slots import build

__all__ = ["SparsifyTeacher"]

_EPSILON = 1e-7


@dataclass(frozen=True)
class SparsifyTeacher:
    """Removes the teacher's heads and neurons that are worth least to the task and to a student already distilled.

    What: one pass over the training rows with masks of ones on heads and neurons; the masks' gradients of the task
        loss say how expressive a unit is, those of the distillation loss against the trained student how much the
        student learns from it. The lowest units of all layers together are cut out of the dense teacher, heads and
        neurons each by the same share, without training after. Then the student is rewound and distilled anew.
    Equation: ``E = sum_batches |dL_task(teacher) / dm|``, ``F = sum_batches |dL_kd / dm|`` with
        ``L_kd = -T^2 sum_c softmax(z_t / T)_c log softmax(z_s / T)_c`` (regression: squared error),
        ``score = balance * E / (||E|| + 1e-7) + (1 - balance) * F / (||F|| + 1e-7)``, norms per layer.
    Symbols: share: s, of all heads and of all neurons, exactly ``round(s * n)`` each; balance: lambda, 1 looks at the
        task only, 0 at the student only (labels then play no part); temperature: T; batch_size: of the pass (the
        absolute value is taken per batch).
    Source: StarK, arXiv:2210.03923, scores as in its released code.
    Differences: scored on training rows (the released code scores on the development set with its labels); units
        keep their order and counts are exact (the released code rounds neurons to multiples of 8); a layer without
        heads or neurons keeps its output bias, as the masked model does; batches are sorted by length.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2210.03923"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"teacher", "dense_teacher", "encoder_teacher", "student", "trained_student"}),
        forbids=frozenset({"other_tokenizers"}),
        gives=frozenset({"teacher"}),
    )

    share: float = 0.3
    balance: float = 0.5
    temperature: float = 2.0
    batch_size: int = 16

    def __post_init__(self) -> None:
        checks.number(self, "share", 0, 0.99)
        checks.number(self, "balance", 0, 1)
        checks.above(self, "temperature", 0)
        checks.whole(self, "batch_size", 1)

    def run(self, models: Models, ctx: Context) -> Models:
        dense = models["dense_teacher"]
        heads, neurons = unit_scores(models, ctx, self.balance, self.temperature, self.batch_size)
        kept_heads = [~cut for cut in lowest(heads, self.share)]
        kept_neurons = [~cut for cut in lowest(neurons, self.share)]
        return models.with_slots(teacher=keep_units(dense, kept_heads, kept_neurons))

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """One forward pass of student and teacher and two backward passes of the teacher to its activations only."""
        dense = sizes.dense_teacher or sizes.teacher
        student = 0.0 if sizes.student is None else sizes.student.macs(sizes.length)
        macs = sizes.rows * (3 * dense.macs(sizes.length) + student)
        after = replace(sizes, teacher=without_units(dense, self.share), dense_teacher=dense)
        return Cost(macs, sizes.student is not None), after


def unit_scores(
    models: Models, ctx: Context, balance: float, temperature: float, batch_size: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The knowledgeable score of every head and every neuron of the dense teacher: per layer, [heads] and [ffn]."""
    shape = shape_of(models["dense_teacher"])
    teacher = _frozen(models, "dense_teacher", ctx.device)
    student = _frozen(models, "student", ctx.device)

    def measure(batch: Batch) -> list[Tensor]:
        heads, neurons = unit_masks(shape, batch.ids.device)
        masks = [*heads, *neurons]
        with torch.no_grad():
            taught = student(batch).logits
        logits = teacher(batch, head_masks=heads, neuron_masks=neurons).logits
        expressive = torch.autograd.grad(task_loss(logits, batch), masks, retain_graph=True)
        friendly = torch.autograd.grad(student_friendly_loss(logits, taught, temperature), masks)
        return [gradient.abs() for gradient in (*expressive, *friendly)]

    sums = scan(measure, ctx.rows("train", models["dense_teacher"]), batch_size, ctx)
    depth = shape.depth
    scores = [knowledgeable(e, f, balance) for e, f in zip(sums[: 2 * depth], sums[2 * depth :], strict=True)]
    return scores[:depth], scores[depth:]


def _frozen(models: Models, slot: str, device: torch.device) -> Network:
    module = build(models[slot]).to(device).requires_grad_(False)
    assert isinstance(module, Network)
    return module


def student_friendly_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """The trial distillation loss as a function of the teacher's logits; both [batch, n_outputs]."""
    if teacher.shape[1] == 1:
        return losses.mean_squared_error(student, teacher)
    return losses.soft_cross_entropy(student, teacher, temperature, tau_squared=True)


def knowledgeable(expressive: Tensor, friendly: Tensor, balance: float) -> Tensor:
    """One layer's scores, each of the two parts scaled to length 1 before they are mixed."""
    parts: Sequence[Tensor] = [value / (value.norm() + _EPSILON) for value in (expressive, friendly)]
    return balance * parts[0] + (1 - balance) * parts[1]
