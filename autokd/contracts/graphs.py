"""Graphs in flight: nodes as rows, one step's nodes with the neighbours drawn for them, what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from autokd.contracts.batches import Batch, Outputs, Rows


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse matrix by rows: row ``i`` holds ``values[offsets[i]:offsets[i + 1]]`` in rising ``columns``.

    offsets: int64 [n_rows + 1]; columns: int64 [n]; values: float32 [n]; ``width``: number of columns.
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor
    width: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device) -> SparseRows:
        return SparseRows(self.offsets.to(device), self.columns.to(device), self.values.to(device), self.width)

    def take(self, rows: Tensor) -> SparseRows:
        """Only these rows, in this order."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        shifts = torch.repeat_interleave(starts - offsets[:-1], lengths)
        places = torch.arange(len(shifts), device=rows.device) + shifts
        return SparseRows(offsets, self.columns[places], self.values[places], self.width)

    def product(self, dense: Tensor) -> Tensor:
        """The matrix times ``dense`` [width, d], float32 [n_rows, d]. Where nothing is 0 it is a plain product."""
        if len(self.values) == len(self) * self.width:
            return self.values.view(len(self), self.width) @ dense
        return nn.functional.embedding_bag(
            self.columns,
            dense.float(),
            self.offsets,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """A graph as networks read it.

    ``features`` [n_nodes, n_features]; ``mixing`` [n_nodes, n_nodes] the normalised adjacency
    ``D^-1/2 (A + I) D^-1/2`` with degrees that count the node itself (arXiv:1609.02907).
    """

    features: SparseRows
    mixing: SparseRows
    _placed: dict[str, NodeGraph] = field(default_factory=dict, repr=False)

    @property
    def n_nodes(self) -> int:
        return len(self.features)

    @property
    def mean_extent(self) -> float:
        """How many nodes a node reads in the mean, itself included."""
        return len(self.mixing.values) / self.n_nodes

    @property
    def filled(self) -> float:
        """How many features of a node are not 0, in the mean."""
        return len(self.features.values) / self.n_nodes

    def to(self, device: torch.device) -> NodeGraph:
        """The same graph on a device; moved there once."""
        if device.type == "cpu":
            return self
        if str(device) not in self._placed:
            self._placed[str(device)] = NodeGraph(self.features.to(device), self.mixing.to(device))
        return self._placed[str(device)]


@dataclass(frozen=True)
class NodeRows(Rows):
    """Nodes as rows: a row's one token is its node's number, ``ids`` [n_rows]."""

    graph: NodeGraph

    @property
    def extents(self) -> Tensor:
        """The graph's mean for every row: what a node costs are its neighbours' neighbours too."""
        return torch.full((len(self),), self.graph.mean_extent, dtype=torch.float64)

    @property
    def whole(self) -> bool:
        return True

    def batch(self, indices: Tensor, width: int | None = None) -> GraphBatch:
        """The batch of these rows, which reads all neighbours."""
        found = super().batch(indices, width)
        return GraphBatch(found.ids, found.types, found.mask, found.labels, found.rows, graph=self.graph)


@dataclass(frozen=True, eq=False)
class Block:
    """What one layer adds up for some nodes, the targets, from others, the sources, which hold the targets too.

    ``mixing`` [n_targets, n_sources] holds the weights, scaled for what was left out; ``own`` int64 [n_targets] is each
    target's place among the sources.
    """

    mixing: SparseRows
    own: Tensor

    def to(self, device: torch.device) -> Block:
        return Block(self.mixing.to(device), self.own.to(device))


@dataclass(frozen=True, kw_only=True)
class GraphBatch(Batch):
    """One step's nodes: ``ids`` [batch, 1] are their numbers.

    Without ``blocks`` a network reads every neighbour. Else there is one block for each layer that reads neighbours:
    the targets of the first are the batch's nodes, those of each next one the sources of the one before; ``nodes``
    [n_sources of the last] are the numbers of those whose features are read.
    """

    graph: NodeGraph
    nodes: Tensor | None = None
    blocks: tuple[Block, ...] = ()

    def to(self, device: torch.device) -> GraphBatch:
        moved = super().to(device)
        assert isinstance(moved, GraphBatch)
        return replace(moved, graph=self.graph.to(device), blocks=tuple(block.to(device) for block in self.blocks))


@dataclass(frozen=True)
class GraphOutputs(Outputs):
    """``summands``: for each layer that reads neighbours, from the features on, what it adds up
    [n_sources, width], without gradients: by them samplers see what a neighbour is worth."""

    summands: tuple[Tensor, ...] = ()
