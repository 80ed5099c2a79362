"""The stage that cuts a student of a chosen shape out of the teacher, by the importance of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from autokd.contracts import Context, Cost, Facts, Models, Rows, Sizes, Slot
from autokd.core.shape import EncoderShape
from autokd.methods.basics import checks
from autokd.methods.basics.importance import Importance, importance
from autokd.models.elastic import cut, require_dense, shape_of, spread
from autokd.models.slicing import Kept, sliced_shape

WIDTHS = ("uniform", "per_layer")
RANKS = ("importance", "leading")


@dataclass(frozen=True)
class PruneToShape:
    """Makes a student of the fine-tuned teacher's most important layers, hidden channels, heads and neurons.

    What: one pass over training rows scores every part of the dense teacher; the best of each dimension are copied into
        a network that is really smaller, whose exact start is remembered for Rewind. No supernet, no training; what
        the cut costs in quality is for the distillation after it to win back.
    Equation: heads, neurons, channels ``sum over rows of |dL/dm|`` at ``m = 1``, where m multiplies the unit in that
        row and ``dL/dm = sum over tokens of a * dL/da`` with the task's loss L; a channel's scores in all hidden
        states, each state's scaled to length 1, are added up; what the classifier reads is no hidden state, and as
        many of it as channels stay by scores of its own. Layers ``sum over tokens of 1 - cos(input, output)``.
        Of n parts ``max(1, round(share * n))`` stay, in their order.
    Symbols: layers, hidden, heads, ffn: shares that stay, of the layers, the channels, and in each layer the heads and
        neurons; widths: ``uniform`` every layer keeps its own best, ``per_layer`` as many in all, ranked over the kept
        layers together, scores scaled to length 1 in each (at least one head and one neuron a layer); rank:
        ``importance``, or as a control ``leading``, which reads no data: evenly spread layers and the first of the
        other parts, always uniform; rows: that are read at most, evenly spread; batch_size: of the pass (without
        influence on its result but for rounding).
    Source: Minitron, arXiv:2407.14679 (prune in all dimensions by importance on a few rows, then distil); heads as in
        Michel et al., arXiv:1905.10650, neurons and channels as in Molchanov et al., arXiv:1611.06440, layers by
        ShortGPT's block influence, arXiv:2403.03853.
    Differences: Minitron scores heads, neurons and channels by the size of their activations alone; a fine-tuned
        teacher has labels to take gradients from, which one score for all three then comes from. Fewer channels change
        what LayerNorm averages over, so that such a student is no masked teacher; cuts of heads and neurons equal
        masks. Heads keep their width. Hidden states cannot become as wide as embeddings that are projected to them,
        and experts cannot be cut: both are refused.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2407.14679"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"dense_teacher", "encoder_teacher"}),
        gives=frozenset({"student", "student_init"}),
        drops=frozenset({"trained_student", "hash_routed", "gated", "student_tokenizer"}),
    )

    layers: float = 0.5
    hidden: float = 1.0
    heads: float = 0.5
    ffn: float = 0.5
    widths: str = "uniform"
    rank: str = "importance"
    rows: int = 1024
    batch_size: int = 16

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "ffn"):
            checks.share(self, field)
        checks.one_of(self, "widths", WIDTHS)
        checks.one_of(self, "rank", RANKS)
        checks.whole(self, "rows", 1)
        checks.whole(self, "batch_size", 1)

    def run(self, models: Models, ctx: Context) -> Models:
        """Raises SpecError for a teacher that cannot be cut so."""
        teacher = models["dense_teacher"]
        shape = shape_of(teacher)
        if self.rank == "leading":
            kept = self._leading(shape)
        else:
            kept = self._best(shape, importance(teacher, self._rows(teacher, ctx), self.batch_size, ctx))
        student = cut(teacher, kept)
        return models.with_slots(student=student, student_init=student)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """One forward pass over the rows and one backward pass to the activations.

        The student's shape is exact where the teacher's layers are alike and widths are uniform; else its layers stand
        in for those that the data will choose, with the same numbers of heads and neurons in all where they are alike.
        Raises SpecError for a teacher that cannot be cut so.
        """
        teacher = sizes.dense_teacher or sizes.teacher
        student = sliced_shape(teacher, self._leading(teacher))
        passes = 0 if self.rank == "leading" else 2 * min(self.rows, sizes.rows)
        return Cost(passes * teacher.macs(sizes.length)), replace(sizes, student=student, student_init=student)

    def _rows(self, teacher: Slot, ctx: Context) -> Rows:
        train = ctx.task.train
        count = min(self.rows, len(train))
        return ctx.encode(train.take([i * len(train) // count for i in range(count)]), teacher)

    def _leading(self, shape: EncoderShape) -> Kept:
        """As many parts as will stay, without looking at data. Raises SpecError where a layer is not dense."""
        for i, layer in enumerate(shape.layers):
            require_dense(layer, i)
        layers = spread(count_of(shape.depth, self.layers), shape.depth, "even")
        heads = [range(count_of(shape.layers[i].heads, self.heads)) for i in layers]
        neurons = [range(count_of(shape.layers[i].ffn, self.ffn)) for i in layers]
        return Kept(layers, range(count_of(shape.hidden, self.hidden)), heads, neurons)

    def _best(self, shape: EncoderShape, found: Importance) -> Kept:
        layers = best(found.layers, count_of(shape.depth, self.layers))
        choose: Callable[[Sequence[Tensor], float], list[list[int]]] = (
            best_of_each if self.widths == "uniform" else best_of_all
        )
        heads = choose([found.heads[i] for i in layers], self.heads)
        neurons = choose([found.neurons[i] for i in layers], self.ffn)
        width = count_of(shape.hidden, self.hidden)
        return Kept(layers, best(found.hidden, width), heads, neurons, pooled=best(found.pooled, width))


def count_of(n: int, share: float) -> int:
    """How many of n parts stay: at least one, where there are any."""
    return min(n, max(1, round(share * n)))


def best(scores: Tensor, count: int) -> list[int]:
    """Places of the ``count`` highest of [n] scores, ascending; of equal ones the first."""
    return sorted(torch.argsort(scores, descending=True, stable=True)[:count].tolist())


def best_of_each(scores: Sequence[Tensor], share: float) -> list[list[int]]:
    """The best of each layer, the same share everywhere."""
    return [best(each, count_of(len(each), share)) for each in scores]


def best_of_all(scores: Sequence[Tensor], share: float) -> list[list[int]]:
    """As many in all as ``best_of_each``, ranked over the layers together; the best of each layer is among them."""
    scaled = [functional.normalize(each, dim=0) for each in scores]
    for each in scaled:
        each[best(each, 1)] = torch.inf
    chosen = torch.zeros(sum(map(len, scaled)), dtype=torch.bool)
    chosen[best(torch.cat(scaled), sum(count_of(len(each), share) for each in scaled))] = True
    return [torch.nonzero(part).flatten().tolist() for part in torch.split(chosen, [len(each) for each in scaled])]
