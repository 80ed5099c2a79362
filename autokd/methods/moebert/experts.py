"""Experts behind one seam: each part of the input passes one of several dense feed-forward networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.ffn import DenseFfn, FfnInput

Expert = Callable[[Tensor], Tensor]


def dispatch(value: Tensor, chosen: Tensor, experts: Sequence[Expert]) -> Tensor:
    """What the experts make of ``value`` [n, hidden], each of the rows that it was ``chosen`` [n] for, in their order.

    Costs what one expert costs for all n rows. One path for training, inference and ONNX: nonzero, gather and
    scatter of places have a form there; sorting and splitting by data have not, and are no faster (measured).
    """
    parts = [torch.nonzero(chosen == e).flatten() for e in range(len(experts))]
    made = torch.cat([expert(value.index_select(0, part)) for expert, part in zip(experts, parts, strict=True)])
    order = torch.cat(parts)
    places = torch.zeros_like(order).index_copy(0, order, torch.arange(order.shape[0], device=order.device))
    return made.index_select(0, places)


def new_experts(hidden: int, layer: LayerShape, shape: EncoderShape) -> nn.ModuleList:
    """As many dense networks as the layer has copies."""
    return nn.ModuleList(DenseFfn(hidden, layer.ffn, shape.activation, shape.norm_eps) for _ in range(layer.ffn_copies))


def reading(experts: nn.ModuleList, tokens: FfnInput) -> list[Expert]:
    """The experts with dropout and neuron mask of this call, which are all that a dense network reads of ``tokens``."""
    return [partial(expert, tokens=tokens) for expert in experts]


class HashExperts(nn.Module):
    """Several dense feed-forward networks, of which each token passes the one that its id is routed to.

    ``route``: uint8 [vocabulary], the expert of each token id; a buffer, so that it is saved with the weights. At first
    ids go to the experts in turns. A neuron mask multiplies the same places in every expert.
    """

    route: Tensor

    def __init__(self, hidden: int, layer: LayerShape, shape: EncoderShape) -> None:
        super().__init__()
        self.experts = new_experts(hidden, layer, shape)
        self.register_buffer("route", (torch.arange(shape.vocabulary) % layer.ffn_copies).to(torch.uint8))

    @classmethod
    def from_shape(cls, hidden: int, layer: LayerShape, shape: EncoderShape) -> HashExperts:
        return cls(hidden, layer, shape)

    def forward(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden] -> the same shape; position and neighbours play no part in the routing."""
        chosen = self.route[tokens.ids.reshape(-1)]
        flat = hidden.reshape(-1, hidden.shape[-1])
        return dispatch(flat, chosen, reading(self.experts, tokens)).view(hidden.shape)
