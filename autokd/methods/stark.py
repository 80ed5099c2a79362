"""Sparse teachers that a student learns more from (StarK, arXiv:2210.03923)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Cost, Facts, Models, Network, Sizes
from autokd.engine import losses
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.scan import scan
from autokd.models.elastic import (
    keep_units,
    lowest,
    matrices_of,
    shape_of,
    unit_masks,
    without_units,
    without_weights,
)
from autokd.models.slots import build

__all__ = ["SparsifyTeacher"]

GRANULARITIES = ("units", "weights")
_EPSILON = 1e-7


@dataclass(frozen=True)
class SparsifyTeacher:
    """Removes what in the teacher is worth least to the task and to a student already distilled.

    What: one pass over the training rows with masks of ones on the dense teacher's parts; the masks' gradients of the
        task's loss say how expressive a part is, those of the distillation loss how much the student can learn from
        it. The lowest parts of all layers together go, without training after. ``units``: heads and neurons, each by
        the same share, are cut out, and the teacher is smaller and faster. ``weights``: single weights of attention
        and feed-forward matrices are set to zero where they stand, and the teacher is neither. Then the student is
        rewound and distilled anew; to distil it on without Rewind is legal too, and not the paper's.
    Equation: ``E = sum_batches |dL_task(teacher) / dm|``, ``F = sum_batches |dL_kd / dm|`` at ``m = 1`` (for a weight
        w: ``|w * dL / dw|``) with ``L_kd = -T^2 sum_c softmax(z_t / T)_c log softmax(z_s / T)_c`` (regression:
        squared error), ``score = balance * E / (||E|| + 1e-7) + (1 - balance) * F / (||F|| + 1e-7)``, norms per layer.
    Symbols: share: s, of all heads and of all neurons, or of all weights, exactly ``round(s * n)`` each; balance:
        lambda, 1 looks at the task only, 0 at the student only (labels then play no part); temperature: T;
        granularity: what a part is; batch_size: of the pass (the absolute value is taken per batch).
    Source: StarK, arXiv:2210.03923, scores as in its released code. Its trial distillation has the objectives Logits
        (ce, temperature 2) and Labels with weight 1/2 each, for regression Logits (mse) and Labels.
    Differences: scored on training rows (the released code scores on the development set with its labels); units
        keep their order and counts are exact (the released code rounds neurons to multiples of 8); a layer without
        heads or neurons keeps its output bias, as the masked model does; batches are sorted by length. The released
        code has no unstructured form: here it is the same score of a mask on each weight, over the matrices of a
        layer together. It takes up to 24 bytes of memory per weight.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2210.03923"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    # A student is trained by the teacher that there is: after this one it has to be distilled again.
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"teacher", "dense_teacher", "encoder_teacher", "student", "trained_student"}),
        forbids=frozenset({"other_tokenizers"}),
        gives=frozenset({"teacher"}),
        drops=frozenset({"trained_student"}),
    )

    share: float = 0.3
    balance: float = 0.5
    temperature: float = 2.0
    granularity: str = "units"
    batch_size: int = 16

    def __post_init__(self) -> None:
        checks.number(self, "share", 0, 0.99)
        checks.number(self, "balance", 0, 1)
        checks.above(self, "temperature", 0)
        checks.one_of(self, "granularity", GRANULARITIES)
        checks.whole(self, "batch_size", 1)

    def run(self, models: Models, ctx: Context) -> Models:
        dense, scored = models["dense_teacher"], (models, ctx, self.balance, self.temperature, self.batch_size)
        if self.granularity == "weights":
            return models.with_slots(teacher=without_weights(dense, lowest(weight_scores(*scored), self.share)))
        kept_heads, kept_neurons = ([~cut for cut in lowest(part, self.share)] for part in unit_scores(*scored))
        return models.with_slots(teacher=keep_units(dense, kept_heads, kept_neurons))

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """One forward pass of student and teacher, two backward passes of the teacher: to its activations, or to its
        weights as well."""
        dense = sizes.dense_teacher or sizes.teacher
        student = 0.0 if sizes.student is None else sizes.student.macs(sizes.length)
        structured = self.granularity == "units"
        macs = sizes.rows * ((3 if structured else 5) * dense.macs(sizes.length) + student)
        teacher = without_units(dense, self.share) if structured else dense
        return Cost(macs, sizes.student is not None), replace(sizes, teacher=teacher, dense_teacher=dense)


def unit_scores(
    models: Models, ctx: Context, balance: float, temperature: float, batch_size: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The knowledgeable score of every head and every neuron of the dense teacher: per layer, [heads] and [ffn]."""
    shape = shape_of(models["dense_teacher"])
    teacher = _frozen(models, "dense_teacher", ctx.device)
    student = _frozen(models, "student", ctx.device)

    def measure(batch: Batch) -> list[Tensor]:
        heads, neurons = unit_masks(shape, batch.ids.device)
        logits = teacher(batch, head_masks=heads, neuron_masks=neurons).logits
        found = _gradients(logits, _taught(student, batch), batch, temperature, [*heads, *neurons])
        return [gradient.abs() for gradient in found]

    scores = _knowledgeable_of(measure, models, ctx, balance, batch_size)
    return scores[: shape.depth], scores[shape.depth :]


def weight_scores(models: Models, ctx: Context, balance: float, temperature: float, batch_size: int) -> list[Tensor]:
    """The same score of every weight of the dense teacher's layers: per layer [weights], in ``matrices_of``'s order."""
    teacher = _frozen(models, "dense_teacher", ctx.device)
    student = _frozen(models, "student", ctx.device)
    named = dict(teacher.named_parameters())
    layers = [[named[name] for name in names] for names in matrices_of(shape_of(models["dense_teacher"]))]
    weights = [weight.requires_grad_() for layer in layers for weight in layer]

    def measure(batch: Batch) -> list[Tensor]:
        found = iter(_gradients(teacher(batch).logits, _taught(student, batch), batch, temperature, weights))
        # Twice over all layers: the task's gradients, then the distillation's.
        return [
            torch.cat([(weight.detach() * next(found)).abs().flatten() for weight in layer])
            for layer in (*layers, *layers)
        ]

    return _knowledgeable_of(measure, models, ctx, balance, batch_size)


def _knowledgeable_of(
    measure: Callable[[Batch], list[Tensor]], models: Models, ctx: Context, balance: float, batch_size: int
) -> list[Tensor]:
    """``measure`` gives the expressive scores of some groups and then the friendly ones; their mixtures, per group."""
    sums = scan(measure, ctx.rows("train", models["dense_teacher"]), batch_size, ctx)
    half = len(sums) // 2
    return [knowledgeable(e, f, balance) for e, f in zip(sums[:half], sums[half:], strict=True)]


def _gradients(
    teacher: Tensor, student: Tensor, batch: Batch, temperature: float, of: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Gradients of the task's loss with respect to each of ``of``, then those of the distillation loss.

    What has no part in the logits (a layer that came without heads) has the gradient 0.
    """
    expressive = torch.autograd.grad(task_loss(teacher, batch), of, retain_graph=True, materialize_grads=True)
    loss = student_friendly_loss(teacher, student, temperature)
    return (*expressive, *torch.autograd.grad(loss, of, materialize_grads=True))


@torch.no_grad()
def _taught(student: Network, batch: Batch) -> Tensor:
    return student(batch).logits  # type: ignore[no-any-return]


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
