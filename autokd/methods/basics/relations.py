"""Relations between tokens as an objective: queries, keys and values relate a text's tokens as the teacher's do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.engine.relations import FORMS, relations
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import teacher_outputs
from autokd.models.slots import shape_of_slot

_PARTS = 3  # queries, keys, values


@dataclass(frozen=True)
class Relations:
    """Tokens relate to each other in the student's last layer as in a layer of the teacher, whatever their widths.

    What: the queries of all heads side by side are dealt out to relation heads of equal width, and each one's scaled
        products of every two tokens are compared; so are keys and values. Padding has no part in it, and every text
        counts alike. What lies behind the student's last queries, keys and values gets no gradient.
    Equation: ``L = sum over X in {Q, K, V} of mean_b D(R_X^s, R_X^t)`` with ``R_X = X X^T / sqrt(d_r)`` per relation
        head, ``d_r = floor(A d_head / R)`` of either network;
        D is mse_logits: mean over heads and pairs of real tokens of ``(R^s - R^t)^2``; mse_softmax: the same of the
        softmax over real tokens; kl_softmax: mean over heads and tokens of ``KL(softmax R^t || softmax R^s)``.
    Symbols: form: D; heads: R; layer: of the teacher, from 1, nothing for its last (large teachers teach better by one
        of their upper middle); weight: of this term in the loss.
    Source: MiniLMv2, arXiv:2012.15828 (kl_softmax); mse_logits is what the released code of AutoDistil (2201.12507)
        computes, whose paper may mean mse_softmax.
    Differences: AutoDistil's code counts padding (its mask cancels in a difference); here each text is cut to its own
        length, as in MiniLMv2. Channels that do not fill a relation head are left out, in both.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2012.15828"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"teacher", "encoder_teacher"}), forbids=frozenset({"other_tokenizers"})
    )

    form: str = "mse_logits"
    heads: int = 12
    layer: int | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.one_of(self, "form", tuple(FORMS))
        checks.whole(self, "heads", 1)
        if self.layer is not None:
            checks.whole(self, "layer", 1)
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> RelationTerm:
        """Raises SpecError where the teacher has no such layer."""
        depth = shape_of_slot(models["teacher"]).depth
        if self.layer is not None and self.layer > depth:
            raise SpecError(f"Relations.layer is one of the teacher's {depth} layers, but got {self.layer}.")
        return RelationTerm(self)

    def cost(self, sizes: Sizes) -> float:
        """The products of every two tokens, of student and teacher."""
        networks = [sizes.teacher] if sizes.student is None else [sizes.teacher, sizes.student]
        return sum(_PARTS * sizes.length**2 * self._channels(shape) for shape in networks)

    def _channels(self, shape: EncoderShape) -> int:
        last = shape.layers[-1]
        return self.heads * (last.heads * last.head_width // self.heads)


class RelationTerm(LossTerm):
    """One of the forms, over queries, keys and values."""

    student_wants = Wants(attention=True)
    teacher_wants = Wants(attention=True)

    def __init__(self, method: Relations) -> None:
        super().__init__()
        self.weight = method.weight
        self._compare, self._heads = FORMS[method.form], method.heads
        self._layer = -1 if method.layer is None else method.layer - 1

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        return self.per_text(student, self.states(teacher_outputs(teacher))).mean()

    def states(self, teacher: Outputs) -> tuple[Tensor, ...]:
        """What is related in the teacher: queries, keys and values, each [batch, attention heads, length, width]."""
        return teacher.attention[self._layer]

    def per_text(self, student: Outputs, teacher: Sequence[Tensor]) -> Tensor:
        """The loss of each text, [batch], beside the teacher's ``states``."""
        pairs = zip(student.attention[-1], teacher, strict=True)
        parts = [
            self._compare(relations(own, self._heads), relations(its, self._heads), student.mask) for own, its in pairs
        ]
        return torch.stack(parts).sum(0)
