"""Samplers of neighbours: evenly, by a bandit for the unbiased estimator, by Thanos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from autokd.contracts import GRAPH, BatchSource, Facts, NodeRows, Rows, TrainPlan
from autokd.core.errors import SpecError
from autokd.methods.basics import checks
from autokd.methods.thanos.bandits import Bandits, Reward
from autokd.methods.thanos.choosers import BanditChooser, Chooser, EvenChooser
from autokd.methods.thanos.exp3 import Arms
from autokd.methods.thanos.neighbours import NeighbourSource
from autokd.methods.thanos.rewards import biased_rewards, rescaled, unbiased_rewards

_NEEDS = Facts(needs=frozenset({"reads_neighbours"}), data=GRAPH)


@dataclass(frozen=True)
class Uniform:
    """Each layer adds up k neighbours of a node, every set of k as likely as any other.

    What: batches of nodes; for each layer of the student that reads neighbours, k of each node's neighbours are drawn
        anew; nodes with no more than k read all of them. A node itself is always read. Evaluation reads everything.
    Equation: ``sum_i z_i ~ (D / k) sum_{i in S} z_i``, unbiased.
    Symbols: k: neighbours that are drawn; z_i a neighbour's embedding times its edge's weight, D their number.
    Source: GraphSAGE, arXiv:1706.02216.
    Differences: without replacement.
    """

    kind: ClassVar[str] = "sampler"
    source: ClassVar[str] = "1706.02216"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = _NEEDS

    k: int = 3

    def __post_init__(self) -> None:
        checks.whole(self, "k", 1)

    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource:
        return NeighbourSource(_nodes(rows), plan, self.k, lambda arms, n_hops: EvenChooser(arms, self.k))


@dataclass(frozen=True)
class BanditSampler:
    """Each layer adds up k neighbours, drawn where the unbiased estimator's variance is.

    What: as Uniform, but each node draws by EXP3.M whose rewards are what a neighbour adds to the variance of the sum
        weighted by inverse probabilities; one bandit for each node and layer.
    Equation: ``sum_i z_i ~ sum_{i in S} z_i / p_i``; ``r_i = |z_i|^2 / p_i^2``; ``w_i *= exp(k eta (r_i / p_i) / D)``
    Symbols: k: neighbours that are drawn; gamma: share of even play; eta: step size; restart: steps after which all
        weights start anew, 0 for never.
    Source: BanditSampler, arXiv:2006.05806, as arXiv:2103.01089 compares with it.
    Differences: arms are drawn by dependent rounding, so that inclusion probabilities are exactly those that the sum is
        weighted by; squared norms are in units of the largest that the node has seen, and an exponent is at most 1
        (the rewards have no bound).
    """

    kind: ClassVar[str] = "sampler"
    source: ClassVar[str] = "2006.05806"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = _NEEDS

    k: int = 3
    gamma: float = 0.4
    eta: float = 0.01
    restart: int = 0

    def __post_init__(self) -> None:
        _check(self)

    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource:
        def make(arms: Arms, n_hops: int) -> Chooser:
            bandits = _bandits(self, arms, n_hops, lambda z, owners, n, p: unbiased_rewards(z, p))
            return BanditChooser(arms, self.k, bandits, unbiased=True)

        return NeighbourSource(_nodes(rows), plan, self.k, make)


@dataclass(frozen=True)
class Thanos:
    """Each layer adds up k neighbours, drawn where a biased estimator comes nearest to the whole sum.

    What: as Uniform, but each node draws by EXP3.M whose rewards are largest for neighbours near the mean of those
        drawn; all weights start anew from time to time, because embeddings drift. One bandit for each node and layer.
    Equation: ``sum_i z_i ~ (D / k) sum_{i in S} z_i``; ``r_i = 2 <z_i, mean_S z> - |z_i|^2``, from [-3, 1] (in units of
        the largest squared norm that the node has seen) to [0, 1]; ``w_i *= exp(k eta (r_i / p_i) / D)``
    Symbols: k: neighbours that are drawn; gamma: share of even play; eta: step size; restart: steps after which all
        weights start anew, 0 for never.
    Source: Thanos, arXiv:2103.01089.
    Differences: the released code's step size shrinks by the squared degree with each node it has handled, it samples
        one after the other instead of by dependent rounding, leaves out the importance weights ``1 / p_i`` and the
        factor ``D / k``, and learns from the first layer only, with one bandit for all layers. An exponent is at most
        1; as it is never above ``eta / gamma``, that changes something only where eta is above gamma.
    """

    kind: ClassVar[str] = "sampler"
    source: ClassVar[str] = "2103.01089"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = _NEEDS

    k: int = 3
    gamma: float = 0.2
    eta: float = 0.1
    restart: int = 2000

    def __post_init__(self) -> None:
        _check(self)

    def build(self, rows: Rows, plan: TrainPlan) -> BatchSource:
        def make(arms: Arms, n_hops: int) -> Chooser:
            # 2 <z, m> >= -2 and |z|^2 <= 1 in these units, and r <= |m|^2 <= 1.
            reward: Reward = lambda z, owners, n, p: rescaled(biased_rewards(z, owners, n), -3.0, 1.0)  # noqa: E731
            return BanditChooser(arms, self.k, _bandits(self, arms, n_hops, reward), unbiased=False)

        return NeighbourSource(_nodes(rows), plan, self.k, make)


def _check(method: BanditSampler | Thanos) -> None:
    checks.whole(method, "k", 1)
    checks.number(method, "gamma", 0.001, 1)
    checks.number(method, "eta", 0)
    checks.whole(method, "restart", 0)


def _bandits(method: BanditSampler | Thanos, arms: Arms, n_hops: int, reward: Reward) -> list[Bandits]:
    return [
        Bandits(arms, method.k, gamma=method.gamma, eta=method.eta, restart=method.restart, reward=reward)
        for _ in range(n_hops)
    ]


def _nodes(rows: Rows) -> NodeRows:
    if not isinstance(rows, NodeRows):
        raise SpecError(f"neighbours are drawn for nodes of a graph, but the rows are {type(rows).__name__}.")
    return rows
