"""MoEBERT's distillation: all hidden states and the logits under one weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes
from autokd.engine import losses
from autokd.methods.basics import checks
from autokd.methods.basics.hidden import SAME_TOKENS, build_hidden_term, projection_macs
from autokd.methods.basics.objectives import Logits


@dataclass(frozen=True)
class LayerTransfer:
    """Hidden states of every layer and the logits follow the teacher's.

    What: squared error between the hidden states of student and teacher, embedding output included, summed over layers,
        and the symmetric divergence of their class distributions. For regression the logits' squared error. Added to
        Labels it is the paper's whole loss.
    Equation: ``weight * (sum_{l=0..L} mean (H_s^l - H_t^l)^2 + (KL(p || q) + KL(q || p)) / 2)``, the mean over real
        tokens and dimensions, ``p = softmax(z_t)``, ``q = softmax(z_s)``, means over the batch.
    Symbols: weight: the paper's lambda, which it takes from 1 to 5.
    Source: MoEBERT, arXiv:2204.07675, equations 5 to 7.
    Differences: padding is no part of the mean (the released code averages over it), and the teacher never drops
        units (there it is in training mode). A student with fewer layers follows every k-th of the teacher's, a
        narrower one through projections that train along, both as in HiddenMSE.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2204.07675"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = SAME_TOKENS

    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        compare = losses.masked_mean_squared_error
        hidden = build_hidden_term(compare, "skip", 1.0, models, ctx, "layer_transfer")
        form = "mse" if ctx.n_outputs == 1 else "symmetric_kl"
        return LayerTransferTerm(hidden, Logits(form=form, temperature=1.0).build(models, ctx), self.weight)

    def cost(self, sizes: Sizes) -> float:
        """The projections' products, where widths differ."""
        return projection_macs("skip", sizes)


class LayerTransferTerm(LossTerm):
    """The sum of a term on hidden states and one on logits."""

    def __init__(self, hidden: LossTerm, logits: LossTerm, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.student_wants, self.teacher_wants = hidden.student_wants, hidden.teacher_wants
        self.hidden, self.logits = hidden, logits

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        hidden: Tensor = self.hidden(student, teacher, batch, dropout)
        logits: Tensor = self.logits(student, teacher, batch, dropout)
        return hidden + logits
