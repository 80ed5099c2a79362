"""Objectives between hidden states beside the squared error: cosine, patient distillation, cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from autokd.contracts import Context, Facts, LossTerm, Models, Sizes
from autokd.methods.basics import checks
from autokd.methods.basics.hidden import BOTH, SAME_TOKENS, build_hidden_term, projection_macs
from autokd.methods.basics.pairs import LAYER_MAPS


@dataclass(frozen=True)
class _Hidden:
    """The fields that the objectives of this file share."""

    layers: str = "skip"
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.one_of(self, "layers", LAYER_MAPS)
        checks.number(self, "weight", 0)

    def cost(self, sizes: Sizes) -> float:
        """The projections' products, where widths differ."""
        return projection_macs(self.layers, sizes)


@dataclass(frozen=True)
class Cosine(_Hidden):
    """Each student layer's hidden states point where those of a teacher layer point.

    What: one minus the cosine between hidden states, embedding output included, over real tokens only; where widths
        differ the student's states first pass a linear projection, one for each student layer, which trains along.
    Equation: ``sum over pairs (t, s) of w_ts * mean over real tokens of (1 - cos(W_s H_s + c_s, H_t))``; ``w_ts`` is 1,
        under emd the transport plan.
    Symbols: layers: the pairs, ``skip`` every k-th teacher layer, ``last`` the last ones, ``emd`` all of them, weighted
        by the optimal transport of the present losses; weight: of the sum.
    Source: Distiller, arXiv:2109.11105 (its objective "cos").
    Differences: a projection also where the student is the wider one; emd, which the released code has for mse and mi.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = SAME_TOKENS

    def build(self, models: Models, ctx: Context) -> LossTerm:
        return build_hidden_term(cosine_distance, self.layers, self.weight, models, ctx, "cosine")


@dataclass(frozen=True)
class PKD(_Hidden):
    """Each student layer's [CLS] vector points where that of a teacher layer points (patient distillation).

    What: squared distance of the [CLS] vectors of unit length, embedding output included; where widths differ the
        student's states first pass a linear projection, one for each student layer, which trains along.
    Equation: ``sum over pairs (t, s) of w_ts * mean_b || h_s / |h_s| - h_t / |h_t| ||^2``, equal to ``2 - 2 cos``;
        ``h_s`` is projected where widths differ, ``w_ts`` is 1, under emd the transport plan.
    Symbols: layers: the pairs, ``skip`` every k-th teacher layer, ``last`` the last ones, ``emd`` all of them, weighted
        by the optimal transport of the present losses; weight: of the sum.
    Source: Distiller, arXiv:2109.11105 (its objective "pkd", after Sun et al., arXiv:1908.09355).
    Differences: a projection also where the student is the wider one; emd, which the released code has for mse and mi.
        Tokenizers may differ: one vector stands for a row.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts(needs=BOTH)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        return build_hidden_term(patient_distance, self.layers, self.weight, models, ctx, "pkd")


@dataclass(frozen=True)
class HiddenCE(_Hidden):
    """Each student layer's hidden states, read as distributions over their dimensions, follow a teacher layer's.

    What: cross-entropy between the softmax over dimensions of hidden states, embedding output included, over real
        tokens only; where widths differ the student's states first pass a linear projection, one for each student
        layer, which trains along. Least where the two distributions agree, but not 0 there.
    Equation: ``sum over pairs (t, s) of w_ts * mean over real tokens of - sum_d softmax(H_t)_d log softmax(W_s H_s +
        c_s)_d``; ``w_ts`` is 1, under emd the transport plan.
    Symbols: layers: the pairs, ``skip`` every k-th teacher layer, ``last`` the last ones, ``emd`` all of them, weighted
        by the optimal transport of the present losses; weight: of the sum.
    Source: Distiller, arXiv:2109.11105 (its objective "ce" between hidden states).
    Differences: a projection also where the student is the wider one; emd, which the released code has for mse and mi.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = SAME_TOKENS

    def build(self, models: Models, ctx: Context) -> LossTerm:
        return build_hidden_term(hidden_cross_entropy, self.layers, self.weight, models, ctx, "hidden_ce")


def cosine_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens of 1 - cos; student, teacher [batch, length, width], mask [batch, length]."""
    ours, theirs = _real_tokens(student, teacher, mask)
    return (1 - functional.cosine_similarity(ours, theirs, dim=1)).mean()


def patient_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over rows of the squared distance of their first tokens' states, each scaled to length 1."""
    ours = functional.normalize(student[:, 0].float(), dim=1)
    theirs = functional.normalize(teacher[:, 0].float(), dim=1)
    return (ours - theirs).square().sum(1).mean()


def hidden_cross_entropy(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens of the cross-entropy of their states' softmax over dimensions, the teacher's as target."""
    ours, theirs = _real_tokens(student, teacher, mask)
    return -(functional.softmax(theirs, dim=1) * functional.log_softmax(ours, dim=1)).sum(1).mean()


def _real_tokens(student: Tensor, teacher: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32 [n_real, width], whatever stands at padding."""
    if student.shape != teacher.shape:
        raise ValueError(f"hidden states must have one shape, but got {list(student.shape)} and {list(teacher.shape)}.")
    real = mask.reshape(-1).nonzero().squeeze(1)
    ours, theirs = (states.flatten(0, 1).index_select(0, real).float() for states in (student, teacher))
    return ours, theirs
