"""Experts that a gate chooses: a linear map of what they read, which trains along with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.core.shape import EncoderShape, LayerShape
from autokd.methods.moebert.experts import Expert, dispatch, new_experts, reading
from autokd.models.ffn import FfnInput


class Gate(nn.Module):
    """softmax(x W^T), the probability of each expert; ``weight`` [experts, hidden], no bias.

    Not a ``nn.Linear``: those under a layer are what pruning takes weights from.
    """

    def __init__(self, hidden: int, n_experts: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_experts, hidden))

    def forward(self, value: Tensor) -> Tensor:
        """value: [..., hidden] -> [..., experts]."""
        return torch.softmax(functional.linear(value, self.weight), dim=-1)


def gated(hidden: Tensor, shares: Tensor, experts: Sequence[Expert]) -> Tensor:
    """Each token's likeliest expert's output times its probability.

    hidden: [batch, length, hidden]; shares: [batch, length, experts], or [batch, 1, experts] for all tokens of a row.
    The factor gives the gate its gradient. It is there in training and evaluation, in batches and in single rows alike.
    """
    share, chosen = shares.max(dim=-1)
    places = hidden.shape[:2]
    made = dispatch(hidden.reshape(-1, hidden.shape[-1]), chosen.expand(places).reshape(-1), experts)
    return made.view(hidden.shape) * share.unsqueeze(-1)


class _GatedExperts(nn.Module):
    """Several dense feed-forward networks and a gate; what the gate reads is the subclass's."""

    def __init__(self, hidden: int, layer: LayerShape, shape: EncoderShape) -> None:
        super().__init__()
        self.experts = new_experts(hidden, layer, shape)
        self.gate = Gate(hidden, layer.ffn_copies)

    @classmethod
    def from_shape(cls, hidden: int, layer: LayerShape, shape: EncoderShape) -> Self:
        return cls(hidden, layer, shape)


class TokenGatedExperts(_GatedExperts):
    """Several dense feed-forward networks, of which each token passes the one that a gate reads from its state."""

    def forward(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden] -> the same shape."""
        shares = self.gate(hidden)
        if tokens.gates is not None:
            tokens.gates.append(shares)
        return gated(hidden, shares, reading(self.experts, tokens))


class SentenceGatedExperts(_GatedExperts):
    """Several dense feed-forward networks; all tokens of a row pass the one that a gate reads from their mean state.

    Padding has no part in the mean: a row's output does not depend on the batch that it is in.
    """

    def forward(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden] -> the same shape."""
        return gated(hidden, self._shares(hidden, tokens), reading(self.experts, tokens))

    def first_token(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """The output for each row's first token alone, [batch, 1, hidden]; the gate reads all of them."""
        return gated(hidden[:, :1], self._shares(hidden, tokens), reading(self.experts, tokens))

    def _shares(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """[batch, 1, experts]"""
        mask = tokens.mask.to(hidden.dtype).unsqueeze(-1)
        shares = cast(Tensor, self.gate((hidden * mask).sum(1) / mask.sum(1)))
        if tokens.gates is not None:
            tokens.gates.append(shares)
        return shares.unsqueeze(1)
