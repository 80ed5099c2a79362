"""What a drawn neighbour was worth: the biased reward of Thanos, and the variance's share of the unbiased estimator.

``z_i`` is a neighbour's embedding times its edge's weight; a node wants ``sum_i z_i`` over its D neighbours and sees k.
"""

from __future__ import annotations

import numpy as np

from autokd.methods.thanos.exp3 import Floats, Ints


def biased_rewards(z: Floats, owners: Ints, n_owners: int) -> Floats:
    """``r_i = 2 <z_i, m> - |z_i|^2`` with m the mean over the drawn neighbours of the same node (arXiv:2103.01089).

    ``z`` [n_drawn, d]; ``owners`` [n_drawn] the node of each. ``r_i = |m|^2 - |z_i - m|^2``: largest for the neighbour
    nearest to the mean, never above ``|m|^2``, and no ``1 / p`` in it.
    """
    sums = np.zeros((n_owners, z.shape[1]))
    np.add.at(sums, owners, z)
    means = sums / np.maximum(np.bincount(owners, minlength=n_owners), 1)[:, None]
    found: Floats = 2 * (z * means[owners]).sum(axis=1) - (z * z).sum(axis=1)
    return found


def unbiased_rewards(z: Floats, p: Floats) -> Floats:
    """``|z_i|^2 / p_i^2``, what a neighbour adds to the variance of ``sum z_i / p_i`` (arXiv:2006.05806).

    It has no bound as p goes to 0.
    """
    found: Floats = (z * z).sum(axis=1) / p**2
    return found


def rescaled(rewards: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """The rewards mapped from [low, high] to [0, 1], and cut there."""
    found: Floats = np.clip((rewards - low) / (np.asarray(high) - low), 0.0, 1.0)
    return found
