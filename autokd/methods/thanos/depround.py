"""Drawing exactly k of each bandit's arms: by given inclusion probabilities, or evenly."""

from __future__ import annotations

import numpy as np

from autokd.methods.thanos.exp3 import Arms, Bools, Floats

_ROUNDING = 1e-9


def depround(p: Floats, arms: Arms, draw: np.random.Generator) -> Bools:
    """Dependent rounding (Gandhi et al. 2006): arm ``i`` is chosen with probability ``p_i``, and of each bandit exactly
    as many as its ``p`` [n_arms] add up to, a whole number.

    Two arms with fractional ``p`` are taken at a time, and as much probability is moved from one to the other, in a
    direction drawn so that expectations stay, that one of them becomes 0 or 1. All pairs of a round move at once.
    """
    p = p.copy()
    active = np.flatnonzero(_fractional(p))
    while True:
        owners = arms.owners[active]
        paired = (_places(owners) % 2 == 0)[:-1] & (owners[:-1] == owners[1:])
        first = np.flatnonzero(paired)
        if not len(first):
            return p > 0.5
        one, other = active[first], active[first + 1]
        up, down = np.minimum(1 - p[one], p[other]), np.minimum(p[one], 1 - p[other])
        moved = np.where(draw.random(len(one)) * (up + down) < down, up, -down)
        p[one] += moved
        p[other] -= moved
        active = active[_fractional(p[active])]


def evenly(arms: Arms, plays: int, draw: np.random.Generator) -> Bools:
    """``plays`` arms of each bandit, every set of that size as likely as any other."""
    order = np.lexsort((draw.random(len(arms.owners)), arms.owners))
    chosen = np.zeros(len(arms.owners), dtype=bool)
    chosen[order[_places(arms.owners) < plays]] = True
    return chosen


def _fractional(p: Floats) -> Bools:
    found: Bools = (p > _ROUNDING) & (p < 1 - _ROUNDING)
    return found


def _places(owners: np.ndarray) -> np.ndarray:
    """The place of each entry among those of its owner, in a line sorted by owner."""
    starts = np.ones(len(owners), dtype=bool)
    starts[1:] = owners[1:] != owners[:-1]
    steps = np.arange(len(owners))
    found: np.ndarray = steps - np.maximum.accumulate(np.where(starts, steps, 0)) if len(owners) else steps
    return found
