"""Optimal transport between the layers of two networks."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def transport_plan(costs: Tensor) -> Tensor:
    """The plan F >= 0 of least cost ``sum F * costs`` whose rows sum to 1/n and columns to 1/m; costs [n, m].

    Exact: masses of 1/n and 1/m are whole numbers of units of 1/lcm(n, m), and moving units one by one at least cost
    is an assignment problem, which has a whole solution. Costs may have any sign: a constant added to all of them
    changes every plan's cost by that constant, and so no plan. Costs that are not finite are carried evenly, so that
    the loss shows them.
    """
    n, m = costs.shape
    values = costs.detach().double().cpu().numpy()
    if not np.isfinite(values).all():
        return torch.full_like(costs, 1 / (n * m))
    units = math.lcm(n, m)
    source, target = np.repeat(np.arange(n), units // n), np.repeat(np.arange(m), units // m)
    taken, filled = linear_sum_assignment(values[source][:, target])
    plan = np.zeros((n, m))
    np.add.at(plan, (source[taken], target[filled]), 1 / units)
    return torch.from_numpy(plan).to(costs)
