"""Networks on the nodes of a graph: graph convolutions (arXiv:1609.02907), and the same layers without neighbours.

A layer is ``h' = act(M (h W) + b)`` with the normalised adjacency M; the last one has no activation and gives the
logits. With ``residual`` it is ``act(M (h W) + h W + b)``. Networks of the family ``mlp`` leave M out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Block, Dropout, GraphBatch, GraphOutputs, Network, Slot, SparseRows, Wants
from autokd.core.errors import SpecError
from autokd.core.shape import GraphShape
from autokd.models.slots import GRAPH, make_slot

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
FAMILIES = ("gcn", "mlp")


class Dense(nn.Module):
    """``weight`` [n_in, n_out], by which sparse rows can be multiplied, and ``bias`` [n_out]; both start at 0."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))


class GraphNetwork(Network):
    """The network of a GraphShape; its batches are GraphBatch."""

    shape: GraphShape

    def __init__(self, shape: GraphShape) -> None:
        """Raises SpecError for an unknown family or activation."""
        super().__init__()
        if shape.family not in FAMILIES or shape.activation not in ACTIVATIONS:
            raise SpecError(f"a graph network is {FAMILIES} with {tuple(ACTIVATIONS)}, but got {shape}.")
        self.shape = shape
        self.reach = shape.stages if shape.family == "gcn" else 0
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(shape.widths))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GraphNetwork:
        return cls(GraphShape.from_json(config))

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> GraphOutputs:
        """Logits [batch, n_outputs]. Raises SpecError for blocks of another number of layers, and for what the network
        does not have: hidden states by token, attention, masks."""
        assert isinstance(batch, GraphBatch)
        if wants != Wants() or head_masks is not None or neuron_masks is not None:
            raise SpecError("a graph network gives logits only: it has no tokens, heads or neuron masks.")
        features, blocks = self._read(batch)
        summands: list[Tensor] = []
        value = features.values
        for i, layer in enumerate(cast(Sequence[Dense], self.layers)):
            value = self._dropped(value, dropout)
            value = replace(features, values=value).product(layer.weight) if i == 0 else value @ layer.weight
            if self.reach:
                summands.append(value.detach())
                block = blocks[i] if blocks else None
                mixed = (block.mixing if block else batch.graph.mixing).product(value)
                value = mixed + (value[block.own] if block else value) if self.shape.residual else mixed
            value = value + layer.bias
            if i + 1 < len(self.layers):
                value = ACTIVATIONS[self.shape.activation](value)
        logits = value[batch.ids[:, 0]] if self.reach and not blocks else value
        return GraphOutputs(logits, batch.mask, summands=tuple(summands))

    def _read(self, batch: GraphBatch) -> tuple[SparseRows, tuple[Block, ...]]:
        """The features of the nodes that are read, and the blocks in the order of the layers."""
        if batch.blocks and self.reach:
            if len(batch.blocks) != self.reach or batch.nodes is None:
                raise SpecError(f"a network of {self.reach} layers needs as many blocks, but got {len(batch.blocks)}.")
            return batch.graph.features.take(batch.nodes), batch.blocks[::-1]
        if self.reach:
            return batch.graph.features, ()
        return batch.graph.features.take(batch.ids[:, 0]), ()

    def _dropped(self, value: Tensor, dropout: Dropout | None) -> Tensor:
        return value if dropout is None else dropout(value, self.shape.dropout)


def fresh_network(shape: GraphShape, seed: int) -> GraphNetwork:
    """A network whose weights are drawn evenly from ``+-sqrt(6 / (n_in + n_out))`` (Glorot), from this seed alone."""
    network = GraphNetwork(shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                bound = (6 / sum(parameter.shape)) ** 0.5
                parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * bound)
    return network


def graph_slot(network: GraphNetwork) -> Slot:
    """A graph network as a slot; its configuration is its shape."""
    return make_slot(network, network.shape.to_json(), builder=GRAPH)
