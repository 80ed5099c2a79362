"""Mutual information between teacher and student as a training objective (Distiller, arXiv:2109.11105)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import teacher_outputs
from autokd.methods.basics.pairs import PAIRINGS, layer_pairs
from autokd.models.linear import Linear
from autokd.models.slots import shape_of_slot

__all__ = ["MutualInformation"]


@dataclass(frozen=True)
class MutualInformation:
    """Raises a lower bound on what a student layer's [CLS] vector tells of its teacher layer's, over the batch.

    What: a critic scores every pair of a student and a teacher vector of the batch; the bound interpolates between a
        noisy estimate without bias and a quiet one with bias. Critic and baseline train along with the student; one
        of each serves all layer pairs, whose losses are added.
    Equation: with scores ``S_ij = f(student_j, teacher_i)``, ``b_i = log q(teacher_i)`` and, over ``j' != j``,
        ``n_ij = log mean exp S_ij'``: ``A_ij = log(alpha * exp n_ij + (1 - alpha) * exp b_i)``,
        ``I = 1 + mean_{i != j}(S_ii - A_ij) - mean_{i != j} exp(S_ij - A_ii)``, loss ``-I`` (Poole et al. 2019).
    Symbols: alpha: interpolation, 1 is leave-one-out InfoNCE (low variance, high bias, at most log(B - 1)), 0 the
        bound with the learned baseline alone; hidden, out: widths of the critic's networks, whose outputs' product
        is f; layers: which teacher layer each student layer is paired with; weight: of the sum in the loss.
    Source: Distiller, arXiv:2109.11105, its MI-alpha.
    Differences: scores are B x B between examples (the released Transformer critic contrasts token positions); the
        leave-one-out sums are stable log-sum-exps (the released one is wrong by a nat once a score leads its row by
        17); rows of S are the baseline's own variable, the teacher, as in the printed equation; the critic is the
        paper's MLP, the Transformer critic is not here; the pair of embedding outputs is left out, because the
        [CLS] embedding is the same for every example.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"teacher", "student"}))

    alpha: float = 0.9
    layers: str = "skip"
    hidden: int = 512
    out: int = 64
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.number(self, "alpha", 0, 1)
        checks.one_of(self, "layers", PAIRINGS)
        checks.whole(self, "hidden", 1)
        checks.whole(self, "out", 1)
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        teacher, student = shape_of_slot(models["teacher"]), shape_of_slot(models["student"])
        pairs = layer_pairs(self.layers, teacher.depth, student.depth)[1:]
        generator = torch.Generator().manual_seed(ctx.seeds.integer("init:mi_alpha"))
        critic = Critic(student.hidden, teacher.hidden, self.hidden, self.out, generator)
        return MutualInformationTerm(critic, pairs, self.alpha, self.weight)

    def cost(self, sizes: Sizes) -> float:
        """The critic's networks on every pair of layers; the B x B products of ``out`` are too few to count."""
        if sizes.student is None:
            return 0.0
        inner = self.hidden * self.hidden
        student = sizes.student.hidden * self.hidden + inner + self.hidden * self.out
        teacher = sizes.teacher.hidden * self.hidden + inner + self.hidden * self.out
        baseline = sizes.teacher.hidden * self.hidden + inner + self.hidden
        return float(sizes.student.depth * (student + teacher + baseline))


class Critic(nn.Module):
    """A separable critic ``f(x, y) = g(x) . h(y)`` and a baseline ``log q(y)``, each of three linear layers."""

    def __init__(self, student: int, teacher: int, hidden: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.student = _network(student, hidden, out, generator)
        self.teacher = _network(teacher, hidden, out, generator)
        self.baseline = _network(teacher, hidden, 1, generator)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """student [B, d_s], teacher [B, d_t] -> scores [B, B] (row i: teacher i, column j: student j), baseline [B]."""
        scores = self.teacher(teacher) @ self.student(student).T
        return scores, self.baseline(teacher).squeeze(1)


def _network(width: int, hidden: int, out: int, generator: torch.Generator) -> nn.Sequential:
    """Linear, ReLU, Linear, ReLU, Linear, drawn uniformly in +-1/sqrt(inputs) from the generator."""
    linears = [Linear(width, hidden), Linear(hidden, hidden), Linear(hidden, out)]
    with torch.no_grad():
        for linear in linears:
            bound = 1 / math.sqrt(linear.in_features)
            for parameter in (linear.weight, linear.bias):
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * (2 * bound) - bound)
    return nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])


class MutualInformationTerm(LossTerm):
    """Minus the sum over layer pairs of the bound on this batch."""

    def __init__(self, critic: Critic, pairs: tuple[tuple[int, int], ...], alpha: float, weight: float) -> None:
        super().__init__()
        self.critic = critic
        self.weight = weight
        self._pairs = pairs
        self._alpha = alpha
        self.teacher_wants = Wants(frozenset(t for t, _ in pairs))
        self.student_wants = Wants(frozenset(s for _, s in pairs))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        states = teacher_outputs(teacher).hidden
        if len(student.logits) < 2:
            return student.logits.float().sum() * 0.0  # a single row has no others to be told from
        total = torch.zeros((), device=student.logits.device)
        # Scores are exponentiated: in bfloat16 their third digit is gone already.
        with torch.autocast(student.logits.device.type, enabled=False):
            for t, s in self._pairs:
                scores, baseline = self.critic(student.hidden[s][:, 0].float(), states[t][:, 0].float())
                total = total - information(scores, baseline, self._alpha)
        return total


def information(scores: Tensor, baseline: Tensor, alpha: float) -> Tensor:
    """The bound ``I`` in nats for scores [B, B] and log baselines [B], B >= 2."""
    joint, marginal = bound_parts(scores, baseline, alpha)
    return 1 + joint - marginal


def bound_parts(scores: Tensor, baseline: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """The two means of the bound: ``mean_{i != j}(S_ii - A_ij)`` and ``mean_{i != j} exp(S_ij - A_ii)``."""
    count = len(scores)
    normaliser = _normaliser(scores, baseline.unsqueeze(1).expand_as(scores), alpha)
    others = ~torch.eye(count, dtype=torch.bool, device=scores.device)
    joint = (scores.diagonal().unsqueeze(1) - normaliser)[others].mean()
    marginal = (scores - normaliser.diagonal().unsqueeze(1))[others].exp().mean()
    return joint, marginal


def _normaliser(scores: Tensor, baseline: Tensor, alpha: float) -> Tensor:
    """``A_ij``; the two ends are cases of their own because the logarithm of 0 has no gradient."""
    if alpha == 0:
        return baseline
    sampled = leave_one_out(scores)
    if alpha == 1:
        return sampled
    return torch.logaddexp(sampled + math.log(alpha), baseline + math.log1p(-alpha))


def leave_one_out(scores: Tensor) -> Tensor:
    """[B, B]: at (i, j) the log of the mean of ``exp(S_ij')`` over all ``j' != j``.

    From running sums from the left and from the right, so that nothing is ever subtracted: taking one term off the
    whole sum loses all digits when that term dominates.
    """
    edge = scores.new_full((len(scores), 1), -math.inf)
    before = torch.cat([edge, torch.logcumsumexp(scores, 1)[:, :-1]], 1)
    after = torch.cat([torch.logcumsumexp(scores.flip(1), 1).flip(1)[:, 1:], edge], 1)
    return torch.logaddexp(before, after) - math.log(scores.shape[1] - 1)
