"""EXP3.M: bandits that play several arms at once (Uchiya et al. 2010), many bandits of different sizes side by side.

All bandits' arms lie in one line, each bandit's next to each other. Every bandit has more arms than it plays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEAST = 1e-12  # no weight counts as less than this share of its bandit's largest: sums in float64 stay exact enough


@dataclass(frozen=True, eq=False)
class Arms:
    """Whose arms are whose: bandit ``i`` has the arms ``offsets[i]`` to ``offsets[i + 1]``, at least one."""

    offsets: Ints

    @cached_property
    def counts(self) -> Ints:
        """K: how many arms each bandit has."""
        return np.diff(self.offsets)

    @cached_property
    def owners(self) -> Ints:
        """The bandit of each arm."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def take(self, bandits: Ints) -> tuple[Arms, Ints]:
        """The arms of some bandits side by side, and their places in the line of all."""
        counts = self.counts[bandits]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        shifts = np.repeat(self.offsets[bandits] - offsets[:-1], counts)
        return Arms(offsets), np.arange(offsets[-1]) + shifts

    def sums(self, values: Floats | Bools) -> Floats:
        """The sum of each bandit's values [n_arms]."""
        return self._reduced(np.add, values.astype(np.float64))

    def maxima(self, values: Floats) -> Floats:
        """The largest of each bandit's values [n_arms]."""
        return self._reduced(np.maximum, values)

    def _reduced(self, operation: np.ufunc, values: Floats) -> Floats:
        if not len(self.counts):
            return np.zeros(0)
        found: Floats = operation.reduceat(values, self.offsets[:-1])
        return found


def inclusion_probabilities(weights: Floats, arms: Arms, plays: int, gamma: float) -> tuple[Floats, Bools]:
    """``p`` [n_arms] with sum ``plays`` for each bandit and ``gamma plays / K <= p <= 1``; and which arms are capped.

    ``p_i = k ((1 - gamma) w'_i / sum w' + gamma / K)``, where weights that would give more than 1 are capped at one
    alpha with ``alpha / sum w' = (1 / k - gamma / K) / (1 - gamma)``. ``gamma`` in [0, 1] is the share of even play.
    """
    even = plays / arms.counts[arms.owners]
    capped: Bools = np.zeros(len(weights), dtype=bool)
    if gamma == 1:
        return even, capped
    used = np.maximum(weights, _LEAST * arms.maxima(weights)[arms.owners])
    limit = (1 / plays - gamma / arms.counts) / (1 - gamma)
    while True:
        # Capping one more arm lowers alpha, so that those capped before stay capped; fewer than k ever are.
        rest, n_capped = arms.sums(np.where(capped, 0.0, used)), arms.sums(capped)
        alpha = (limit * rest / (1 - limit * n_capped))[arms.owners]
        grown = capped | (used >= alpha)
        if np.array_equal(grown, capped):
            break
        capped = grown
    shares = np.where(capped, alpha, used)
    mixed = plays * (1 - gamma) * shares / arms.sums(shares)[arms.owners] + gamma * even
    return np.minimum(mixed, 1.0), capped


def updated(
    weights: Floats, arms: Arms, drawn: Ints, rewards: Floats, p: Floats, capped: Bools, plays: int, eta: float
) -> Floats:
    """The weights after rewards [n_drawn] of the arms ``drawn``; each bandit's largest is then 1.

    ``w_i *= exp(k eta (r_i / p_i) / K)`` for drawn arms that are not capped; the exponent counts as 1 at most, so that
    rewards without a bound cannot overflow. Rewards up to 1 give no exponent above ``eta / gamma``. ``p`` and
    ``capped`` [n_arms] as they were drawn by.
    """
    exponents = plays * eta * rewards / p[drawn] / arms.counts[arms.owners[drawn]]
    changed = weights.copy()
    changed[drawn] *= np.where(capped[drawn], 1.0, np.exp(np.minimum(exponents, 1.0)))
    found: Floats = changed / arms.maxima(changed)[arms.owners]
    return found
