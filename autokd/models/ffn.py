"""The feed-forward seam of a transformer layer: what every such network is given, and the dense one.

Another network fills the seam when a layer's shape names it in ``ffn_use``: a module with
``from_shape(hidden, layer, shape)`` whose call takes the layer's hidden states and a ``FfnInput`` and returns the
layer's output, residual and LayerNorm included. One whose output for a token depends on the row's other tokens too has
``first_token`` of the same arguments: the output for each row's first token alone, [batch, 1, hidden].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.contracts import Dropout
from autokd.core.address import resolve
from autokd.core.errors import SpecError, unknown
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.linear import Linear


def _gelu_tanh(value: Tensor) -> Tensor:
    return functional.gelu(value, approximate="tanh")


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "gelu": functional.gelu,
        "gelu_new": _gelu_tanh,
        "gelu_pytorch_tanh": _gelu_tanh,
        "relu": functional.relu,
        "silu": functional.silu,
        "tanh": torch.tanh,
    }
)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function behind a configuration's activation name. Raises SpecError for an unknown one."""
    if name not in ACTIVATIONS:
        raise SpecError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]


@dataclass(frozen=True)
class FfnInput:
    """What a feed-forward network may read beside the hidden states [batch, length, hidden].

    ``ids`` are the tokenizer's own, whatever part of the vocabulary is being trained; ``mask`` 1 real, 0 padding;
    both [batch, length]. ``dropout`` None means evaluation. ``neuron_mask`` [ffn], or [batch, ffn] for each row its
    own, multiplies the activations. ``gates`` is where a gate leaves its probabilities (see ``Outputs``); None: nobody
    reads them.
    """

    ids: Tensor
    mask: Tensor
    dropout: Dropout | None = None
    dropout_rate: float = 0.0
    neuron_mask: Tensor | None = None
    gates: list[Tensor] | None = None

    def drop(self, value: Tensor) -> Tensor:
        """The value after dropout, unchanged in evaluation."""
        return value if self.dropout is None else self.dropout(value, self.dropout_rate)


class DenseFfn(nn.Module):
    """LayerNorm(x + down(activation(up(x)) * neuron_mask)), the same for every token.

    With no neurons at all the block is LayerNorm(x + bias of ``down``), as if all of them were masked.
    """

    def __init__(self, hidden: int, width: int, activation_name: str, norm_eps: float) -> None:
        super().__init__()
        self.up = Linear(hidden, width)
        self.down = Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, eps=norm_eps)
        self._activate = activation(activation_name)

    @classmethod
    def from_shape(cls, hidden: int, layer: LayerShape, shape: EncoderShape) -> DenseFfn:
        return cls(hidden, layer.ffn, shape.activation, shape.norm_eps)

    def forward(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden] -> the same shape."""
        if self.up.out_features == 0:
            return cast(Tensor, self.norm(hidden + tokens.drop(self.down.bias.expand_as(hidden))))
        active = self._activate(self.up(hidden))
        if tokens.neuron_mask is not None:
            active = active * tokens.neuron_mask.unsqueeze(-2)
        return cast(Tensor, self.norm(hidden + tokens.drop(self.down(active))))


def build_ffn(hidden: int, layer: LayerShape, shape: EncoderShape) -> nn.Module:
    """The network that a layer's shape names. Raises SpecError where the named class cannot fill the seam."""
    if not layer.ffn_use:
        return DenseFfn.from_shape(hidden, layer, shape)
    found = resolve(layer.ffn_use)
    if not issubclass(found, nn.Module) or not hasattr(found, "from_shape"):
        raise SpecError(f"a feed-forward network is an nn.Module with from_shape, but {layer.ffn_use!r} is {found!r}.")
    return cast(nn.Module, found.from_shape(hidden, layer, shape))
