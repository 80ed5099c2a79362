"""Which neurons of a dense network each expert gets, and what an expert made of them is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def deal(ranking: Tensor, n_experts: int, width: int, common: int) -> list[Tensor]:
    """Neurons for each expert from a ranking, best first: the ``common`` best, then every ``n_experts``-th other."""
    rest = ranking[common:]
    return [torch.cat([ranking[:common], rest[e::n_experts]])[:width] for e in range(n_experts)]


def expert_weights(weights: Mapping[str, Tensor], dense: str, neurons: Tensor) -> dict[str, Tensor]:
    """The dense network's weights with only these neurons, in this order; output bias and norm whole.

    ``dense`` is the prefix of the network's names in ``weights``; the names that come back have none.
    """
    whole = ("down.bias", "norm.weight", "norm.bias")
    return {
        "up.weight": weights[f"{dense}up.weight"][neurons],
        "up.bias": weights[f"{dense}up.bias"][neurons],
        "down.weight": weights[f"{dense}down.weight"][:, neurons].contiguous(),
        **{name: weights[dense + name].clone() for name in whole},
    }
