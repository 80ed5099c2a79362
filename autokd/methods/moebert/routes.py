"""Which expert each word of the vocabulary goes to, for routing by token id."""

from __future__ import annotations

import heapq

import numpy as np
import torch
from torch import Tensor


def random_route(vocabulary: int, n_experts: int, draw: np.random.Generator) -> Tensor:
    """An expert for each token id, drawn evenly: uint8 [vocabulary]."""
    return torch.from_numpy(draw.integers(0, n_experts, vocabulary)).to(torch.uint8)


def balanced_route(counts: np.ndarray, n_experts: int, draw: np.random.Generator) -> Tensor:
    """An expert for each token id, so that experts see about as many tokens: uint8 [vocabulary].

    ``counts`` [vocabulary] says how often each id occurs. The most frequent id first, each goes to the expert with the
    fewest tokens so far; loads then differ by at most the count of the rarest id of the fullest expert. ``draw``
    decides between ids that are equally frequent and experts that are equally full, and sends ids that never occur
    anywhere.
    """
    route = draw.integers(0, n_experts, len(counts))
    shuffled = draw.permutation(len(counts))
    descending = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    loads = [(0, place, int(e)) for place, e in enumerate(draw.permutation(n_experts))]
    for token in descending[: np.count_nonzero(counts)]:
        load, place, expert = loads[0]
        route[token] = expert
        heapq.heapreplace(loads, (load + int(counts[token]), place, expert))
    return torch.from_numpy(route).to(torch.uint8)
