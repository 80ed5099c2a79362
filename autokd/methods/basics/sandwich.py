"""A supernet in a training loop: which of its sub-networks each step trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from autokd.contracts import Batch, Dropout, Outputs, Wants
from autokd.core.seeds import Seeds
from autokd.models.subspaces import Architecture, Subspace
from autokd.models.supernet import Member, Supernet


def sandwich(subspace: Subspace, n_random: int, draw: np.random.Generator) -> tuple[Architecture, ...]:
    """The largest and the smallest sub-network, and ``n_random`` others drawn evenly without repeats (all others, where
    there are no more)."""
    found = subspace.architectures()
    ends = tuple(dict.fromkeys((subspace.largest, subspace.smallest)))
    others = [each for each in found if each not in ends]
    chosen = draw.choice(len(others), size=min(n_random, len(others)), replace=False) if others else ()
    return (*ends, *(others[i] for i in chosen))


class Sandwich(nn.Module):
    """Trains a supernet by the sandwich rule. What a step trains depends on its number and the seeds alone."""

    def __init__(self, supernet: Supernet, n_random: int, seeds: Seeds) -> None:
        super().__init__()
        self.supernet = supernet
        self._n_random, self._seeds = n_random, seeds

    def members(self, step: int) -> Sequence[Member]:
        draw = self._seeds.numpy(f"sandwich:{step}")
        chosen = sandwich(self.supernet.subspace, self._n_random, draw)
        return [self.supernet.member(architecture) for architecture in chosen]

    def forward(self, batch: Batch, wants: Wants = Wants(), *, dropout: Dropout | None = None) -> Outputs:  # noqa: B008
        found: Outputs = self.supernet(batch, wants, dropout=dropout)
        return found
