"""Losses between hidden states of teacher and student layers: what every such objective is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.engine import losses
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import teacher_outputs
from autokd.methods.basics.pairs import LAYER_MAPS, LayerMap, layer_map
from autokd.models.linear import Linear, initialise
from autokd.models.slots import shape_of_slot

# From student and teacher states [batch, length, width] of one width and the mask [batch, length] to a scalar.
Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]

BOTH = frozenset({"teacher", "student"})
SAME_TOKENS = Facts(needs=BOTH, forbids=frozenset({"other_tokenizers"}))


class HiddenTerm(LossTerm):
    """A comparison of paired hidden states, added up as the layer map says; ``mean`` divides by the weights' sum.

    Where widths differ each student layer's states first pass a linear projection of their own.
    """

    def __init__(
        self, compare: Comparison, layers: LayerMap, student: int, teacher: int, weight: float, mean: bool
    ) -> None:
        super().__init__()
        self.weight = weight
        self.teacher_wants = Wants(frozenset(layers.teacher))
        self.student_wants = Wants(frozenset(layers.student))
        self._compare, self._layers, self._mean = compare, layers, mean
        n_projections = 0 if student == teacher else len(layers.student)
        self.projections = nn.ModuleList(Linear(student, teacher) for _ in range(n_projections))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        targets = teacher_outputs(teacher).hidden
        states = {s: self._projected(i, student.hidden[s]) for i, s in enumerate(self._layers.student)}
        found = torch.stack([self._compare(states[s], targets[t], student.mask) for t, s in self._layers.pairs])
        weights = self._layers.weights(found)
        total = (weights * found).sum()
        return total / weights.sum() if self._mean else total

    def _projected(self, position: int, states: Tensor) -> Tensor:
        return self.projections[position](states) if len(self.projections) else states


def build_hidden_term(
    compare: Comparison, layers: str, weight: float, models: Models, ctx: Context, name: str, *, mean: bool = False
) -> HiddenTerm:
    """The term between a pipeline's teacher and student. ``name`` is that of its random start (``init:name``).

    Raises SpecError for a layer map that the two depths do not allow.
    """
    teacher, student = shape_of_slot(models["teacher"]), shape_of_slot(models["student"])
    pairs = layer_map(layers, teacher.depth, student.depth)
    term = HiddenTerm(compare, pairs, student.hidden, teacher.hidden, weight, mean)
    initialise(term, ctx.seeds.integer(f"init:{name}"))
    return term


def projection_macs(layers: str, sizes: Sizes) -> float:
    """The products of the projections of one row, where widths differ: one for each student layer that is compared.

    Raises SpecError for a layer map that the two depths do not allow.
    """
    if sizes.student is None:
        return 0.0
    compared = layer_map(layers, sizes.teacher.depth, sizes.student.depth).student
    if sizes.student.hidden == sizes.teacher.hidden:
        return 0.0
    return len(compared) * sizes.length * sizes.student.hidden * sizes.teacher.hidden


@dataclass(frozen=True)
class HiddenMSE:
    """Each student layer's hidden states follow those of a teacher layer.

    What: squared error between hidden states, embedding output included, over real tokens only; where widths differ
        the student's states first pass a linear projection, one for each student layer, which trains along.
    Equation: over pairs (t, s) of ``l_ts = mean over real tokens and dimensions of (W_s H_s + c_s - H_t)^2``:
        sum: ``sum w_ts l_ts``; mean: ``sum w_ts l_ts / sum w_ts``; ``w_ts`` is 1, under emd the transport plan.
    Symbols: layers: the pairs, ``skip`` every k-th teacher layer, ``last`` the last ones, ``emd`` all of them, weighted
        by the optimal transport of the present losses; reduction: sum or mean over pairs; weight: of this term.
    Source: Distiller, arXiv:2109.11105 (its objective "mse", projection of std 0.02).
    Differences: the paper is reduction sum; by default a mean, so that a weight means the same at every depth. A
        projection also where the student is the wider one; under emd its costs are those of the same projection.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = SAME_TOKENS

    layers: str = "skip"
    reduction: str = "mean"
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.one_of(self, "layers", LAYER_MAPS)
        checks.one_of(self, "reduction", ("mean", "sum"))
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        mean = self.reduction == "mean"
        compare = losses.masked_mean_squared_error
        return build_hidden_term(compare, self.layers, self.weight, models, ctx, "hidden_mse", mean=mean)

    def cost(self, sizes: Sizes) -> float:
        """The projections' products, where widths differ."""
        return projection_macs(self.layers, sizes)
