"""TED's second stage: filtered states of the student follow those of the teacher; and its plain baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from autokd.contracts import TRAINING_FACTOR, Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.engine import losses
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import teacher_outputs
from autokd.methods.ted.filters import SLOT, FilterPair, FilterShape, filter_pairs, shape_between, shape_in
from autokd.models.linear import Linear, initialise
from autokd.models.slots import build, shape_of_slot

OVER = ("tokens", "positions")
_BOTH = frozenset({"student", "teacher"})
_SAME_TOKENS = frozenset({"other_tokenizers"})


@dataclass(frozen=True)
class FilteredHidden:
    """Each student layer's filtered states follow the filtered states of its teacher layer.

    What: filters come from LearnFilters; the teacher's stay as they are, the student's train on along with the
        student. Nothing of them is left in the student. The paper's whole loss is Labels plus Logits (kl, temperature
        2, weight ``a_kl``) plus this term (weight ``a_mse``).
    Equation: ``mean_k mean over real tokens and dimensions of (F_s^k(H_s^k) - F_t^k(H_t^m(k)))^2``
    Symbols: weight: of this term; train_filters: whether the student's filters train on (if not, the student cannot
        leave the gap to them); over: what the mean is over, ``tokens`` or all ``positions`` of the batch.
    Source: TED, arXiv:2210.01351, second stage.
    Differences: padding is masked. The released code takes the mean over padding too, so its ``a_mse`` (10 to 7500)
        is this weight divided by the share of real tokens in its batches. ``positions`` divides by as many entries
        as it does; the errors at padding, which it adds as well, are no part of it (cached states have none), and as
        batches here hold under 5 % padding it differs from ``tokens`` by no more.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2210.01351"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=_BOTH | {SLOT}, forbids=_SAME_TOKENS)

    weight: float = 50.0
    train_filters: bool = True
    over: str = "tokens"

    def __post_init__(self) -> None:
        checks.number(self, "weight", 0)
        checks.boolean(self, "train_filters")
        checks.one_of(self, "over", OVER)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        """Raises SpecError for filters of another teacher, or of a student of another width or with more layers."""
        shape = shape_in(models)
        filters = cast(FilterPair, build(models[SLOT]))
        filters.teacher.requires_grad_(False)
        filters.student.requires_grad_(self.train_filters)
        return LayerTerm(shape.pairs, filters.teacher, filters.student, self.weight, self.over)

    def cost(self, sizes: Sizes) -> float:
        """The student's filters in training, the teacher's in one direction; of the default shape where no stage
        before has said another."""
        if sizes.student is None:
            return 0.0
        known = sizes.added.get(SLOT)
        shape = known if isinstance(known, FilterShape) else shape_between(sizes.teacher, sizes.student)
        passes = TRAINING_FACTOR if self.train_filters else TRAINING_FACTOR - 1
        return sizes.length * (shape.macs("student") * passes + shape.macs("teacher")) / TRAINING_FACTOR


@dataclass(frozen=True)
class ProjectedHidden:
    """Each student layer's projected states follow the states of its teacher layer: TED without its filters.

    What: the layer-wise distillation that TED compares itself with. The same pairs of layers and the same loss, but
        the teacher's states are whole, and the student's pass a linear layer that starts at random and trains along.
    Equation: ``mean_k mean over real tokens and dimensions of (P^k(H_s^k) - H_t^m(k))^2``
    Symbols: weight: of this term; every: pairs at every so-many-th student layer; over: see FilteredHidden.
    Source: TED, arXiv:2210.01351, its baseline LWD as in the released code.
    Differences: as in FilteredHidden. The released script starts it from a student that was not fine-tuned, TED
        from one that was; here both start where the pipeline says.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2210.01351"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts(needs=_BOTH, forbids=_SAME_TOKENS)

    weight: float = 10.0
    every: int = 1
    over: str = "tokens"

    def __post_init__(self) -> None:
        checks.number(self, "weight", 0)
        checks.whole(self, "every", 1)
        checks.one_of(self, "over", OVER)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        teacher, student = shape_of_slot(models["teacher"]), shape_of_slot(models["student"])
        pairs = filter_pairs(teacher.depth, student.depth, self.every)
        projections = nn.ModuleList(Linear(student.hidden, teacher.hidden) for _ in pairs)
        initialise(projections, ctx.seeds.integer("init:ted_projections"))
        return LayerTerm(pairs, [nn.Identity() for _ in pairs], projections, self.weight, self.over)

    def cost(self, sizes: Sizes) -> float:
        if sizes.student is None:
            return 0.0
        return sizes.length * shape_between(sizes.teacher, sizes.student, every=self.every).macs("student")


class LayerTerm(LossTerm):
    """The mean over pairs of layers of the squared error between both sides' states behind their filters."""

    def __init__(
        self,
        pairs: Sequence[tuple[int, int]],
        teacher: Sequence[nn.Module] | nn.ModuleList,
        student: Sequence[nn.Module] | nn.ModuleList,
        weight: float,
        over: str,
    ) -> None:
        super().__init__()
        self.teacher_filters, self.student_filters = nn.ModuleList(teacher), nn.ModuleList(student)
        self.weight = weight
        self.teacher_wants = Wants(frozenset(t for t, _ in pairs))
        self.student_wants = Wants(frozenset(s for _, s in pairs))
        self._pairs, self._over = tuple(pairs), over

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        states = teacher_outputs(teacher).hidden
        parts = []
        for (t, s), keep_t, keep_s in zip(self._pairs, self.teacher_filters, self.student_filters, strict=True):
            parts.append(losses.masked_mean_squared_error(keep_s(student.hidden[s]), keep_t(states[t]), student.mask))
        loss = torch.stack(parts).mean()
        return loss if self._over == "tokens" else loss * student.mask.float().mean()
