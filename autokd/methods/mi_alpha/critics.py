"""Critics of MI-alpha: networks that turn a row's hidden states into a vector, whose products are scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from autokd.contracts import Dropout
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.attention import Padding
from autokd.models.encoder import Layer
from autokd.models.ffn import FfnInput
from autokd.models.linear import Linear

_DEPTH, _HEADS, _RATE = 2, 8, 0.1  # of the Transformer critic in the paper's code


class FirstToken(nn.Module):
    """Three linear layers with ReLU between them, on the first token's state."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Linear(width, hidden), nn.ReLU(), Linear(hidden, hidden), nn.ReLU(), Linear(hidden, out)
        )

    def forward(self, states: Tensor, mask: Tensor, dropout: Dropout | None) -> Tensor:
        """states [B, L, width], mask [B, L] -> [B, out]."""
        found: Tensor = self.layers(states[:, 0])
        return found


class AllTokens(nn.Module):
    """Two Transformer layers over a row's states with sinusoidal positions, and the mean over its real tokens.

    Eight heads, or the most of 4, 2 and 1 that divide the width.
    """

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        heads = math.gcd(_HEADS, width)
        layer = LayerShape(heads, width // heads, hidden)
        shape = EncoderShape(0, 0, width, (layer,) * _DEPTH, out, activation="relu", norm_eps=1e-5)
        self.layers = nn.ModuleList(Layer(layer, shape) for _ in range(_DEPTH))
        self.norm = nn.LayerNorm(width)
        self.head = Linear(width, out)

    def forward(self, states: Tensor, mask: Tensor, dropout: Dropout | None) -> Tensor:
        """states [B, L, width], mask [B, L] -> [B, out]. What stands at padding plays no part."""
        real = mask.unsqueeze(2).to(states.dtype)
        hidden = states.masked_fill(real == 0, 0.0) + sinusoids(states.shape[1], states.shape[2]).to(states)
        tokens = FfnInput(mask, mask, dropout, _RATE)
        hidden, padding = tokens.drop(hidden), Padding(mask, states.dtype)
        for layer in cast(Iterable[Layer], self.layers):
            hidden, _ = layer.attention(hidden, padding, dropout, _RATE, None)
            hidden = layer.ffn(hidden, tokens)
        pooled = (self.norm(hidden) * real).sum(1) / real.sum(1)
        found: Tensor = self.head(pooled)
        return found


def sinusoids(length: int, width: int) -> Tensor:
    """Position codes [length, width] (arXiv:1706.03762, section 3.5): sines in even columns, cosines in odd ones."""
    angles = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    codes = torch.zeros(length, width)
    codes[:, 0::2] = angles.sin()
    codes[:, 1::2] = angles.cos()[:, : width // 2]
    return codes


@dataclass(frozen=True)
class Reader:
    """A kind of critic network, and the width of its vectors in the paper."""

    network: type[FirstToken] | type[AllTokens]
    out: int


READERS: Mapping[str, Reader] = MappingProxyType({"mlp": Reader(FirstToken, 64), "transformer": Reader(AllTokens, 16)})


class Critic(nn.Module):
    """A separable critic ``f(x, y) = student(x) . teacher(y)`` and a baseline ``log q(y)``.

    Each of the three is a network (states [B, L, width], mask [B, L], dropout) -> [B, out], the baseline's out being 1.
    """

    def __init__(
        self, kind: str, student: int, teacher: int, hidden: int, out: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        network = READERS[kind].network
        self.student = network(student, hidden, out)
        self.teacher = network(teacher, hidden, out)
        self.baseline = network(teacher, hidden, 1)
        _draw(self, generator)


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every linear layer uniformly in +-1/sqrt(inputs), in the order in which the module holds them."""
    with torch.no_grad():
        for linear in module.modules():
            if isinstance(linear, Linear):
                bound = 1 / math.sqrt(linear.in_features)
                for parameter in (linear.weight, linear.bias):
                    parameter.copy_(torch.rand(parameter.shape, generator=generator) * (2 * bound) - bound)


def reader_macs(kind: str, width: int, hidden: int, out: int, length: float) -> float:
    """Multiply-accumulates of one such network on one row of ``length`` tokens."""
    if kind == "mlp":
        return float(width * hidden + hidden * hidden + hidden * out)
    layer = length * (4 * width * width + 2 * width * hidden) + 2 * length * length * width
    return _DEPTH * layer + width * out
