"""Mutual information between teacher and student as a training objective (Distiller, arXiv:2109.11105)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import teacher_outputs
from autokd.methods.basics.pairs import LAYER_MAPS, LayerMap, layer_map
from autokd.methods.mi_alpha.bound import information
from autokd.methods.mi_alpha.critics import READERS, Critic, reader_macs
from autokd.models.slots import shape_of_slot


@dataclass(frozen=True)
class MutualInformation:
    """Raises a lower bound on what a student layer's states tell of its teacher layer's, over the batch.

    What: a critic scores every pair of a student and a teacher example of the batch; the bound interpolates between a
        noisy estimate without bias and a quiet one with bias. Critic and baseline train along with the student; one
        of each serves all layer pairs, whose losses are added.
    Equation: with scores ``S_ij = f(student_j, teacher_i)``, ``b_i = log q(teacher_i)`` and, over ``j' != j``,
        ``n_ij = log mean exp S_ij'``: ``A_ij = log(alpha * exp n_ij + (1 - alpha) * exp b_i)``,
        ``I = 1 + mean_{i != j}(S_ii - A_ij) - mean_{i != j} exp(S_ij - A_ii)``, loss ``-I`` (Poole et al. 2019).
    Symbols: alpha: interpolation, 1 is leave-one-out InfoNCE (low variance, high bias, at most log(B - 1)), 0 the
        bound with the learned baseline alone; layers: which teacher layers each student layer is paired with; critic:
        what turns a row's states into the vectors whose product is f, ``mlp`` three linear layers on the [CLS] vector,
        ``transformer`` two layers over all tokens and the mean of what they make of real ones; hidden: the mlp's or
        the feed-forward width; out: width of the vectors, nothing for the paper's (64, or 16); weight: of the sum.
    Source: Distiller, arXiv:2109.11105, its MI-alpha; the transformer is the paper's critic for skip and last.
    Differences: scores are B x B between examples (the released Transformer critic contrasts token positions, and its
        position code runs over the batch); the leave-one-out sums are stable log-sum-exps (the released one is off by
        0.37 where a score leads its row by 17, by a whole nat at 20); rows of S are the baseline's own variable, the
        teacher, as in the printed equation. With the mlp the pair of embedding outputs is left out, because the [CLS]
        embedding is the same for every example. Under emd too one critic serves all pairs: the released code trains one
        for each, but a transport carries nothing between most layers, whose critics would then never learn what they
        cost.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts(needs=frozenset({"teacher", "student"}))

    alpha: float = 0.9
    layers: str = "skip"
    critic: str = "mlp"
    hidden: int = 512
    out: int | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.number(self, "alpha", 0, 1)
        checks.one_of(self, "layers", LAYER_MAPS)
        checks.one_of(self, "critic", tuple(READERS))
        checks.whole(self, "hidden", 1)
        if self.out is not None:
            checks.whole(self, "out", 1)
        checks.number(self, "weight", 0)

    @property
    def _width(self) -> int:
        return READERS[self.critic].out if self.out is None else self.out

    def _map(self, n_teacher: int, n_student: int) -> LayerMap:
        return layer_map(self.layers, n_teacher, n_student, embedding=self.critic != "mlp")

    def build(self, models: Models, ctx: Context) -> LossTerm:
        teacher, student = shape_of_slot(models["teacher"]), shape_of_slot(models["student"])
        generator = torch.Generator().manual_seed(ctx.seeds.integer("init:mi_alpha"))
        critic = Critic(self.critic, student.hidden, teacher.hidden, self.hidden, self._width, generator)
        return MutualInformationTerm(critic, self._map(teacher.depth, student.depth), self.alpha, self.weight)

    def cost(self, sizes: Sizes) -> float:
        """The critic's networks on every layer that is compared; the B x B products of ``out`` are too few to count."""
        if sizes.student is None:
            return 0.0
        layers = self._map(sizes.teacher.depth, sizes.student.depth)

        def reader(width: int, out: int) -> float:
            return reader_macs(self.critic, width, self.hidden, out, sizes.length)

        ours = reader(sizes.student.hidden, self._width)
        theirs = reader(sizes.teacher.hidden, self._width) + reader(sizes.teacher.hidden, 1)
        return len(layers.student) * ours + len(layers.teacher) * theirs


class MutualInformationTerm(LossTerm):
    """Minus the bounds on this batch, added up over layer pairs as the map says."""

    def __init__(self, critic: Critic, layers: LayerMap, alpha: float, weight: float) -> None:
        super().__init__()
        self.critic = critic
        self.weight = weight
        self._layers, self._alpha = layers, alpha
        self.teacher_wants = Wants(frozenset(layers.teacher))
        self.student_wants = Wants(frozenset(layers.student))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        taught, layers = teacher_outputs(teacher), self._layers
        if len(student.logits) < 2:
            return student.logits.float().sum() * 0.0  # a single row has no others to be told from
        # Scores are exponentiated: in bfloat16 their third digit is gone already.
        with torch.autocast(student.logits.device.type, enabled=False):
            ours = {s: self.critic.student(student.hidden[s].float(), student.mask, dropout) for s in layers.student}
            theirs = {t: self.critic.teacher(taught.hidden[t].float(), taught.mask, dropout) for t in layers.teacher}
            logs = {t: self.critic.baseline(taught.hidden[t].float(), taught.mask, dropout) for t in layers.teacher}
            losses = [-information(theirs[t] @ ours[s].T, logs[t].squeeze(1), self._alpha) for t, s in layers.pairs]
            found = torch.stack(losses)
            return (layers.weights(found) * found).sum()
