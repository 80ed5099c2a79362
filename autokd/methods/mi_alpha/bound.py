"""The interpolated bound on mutual information of a batch's scores (Poole et al. 2019; Distiller, arXiv:2109.11105)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
