"""Batches of nodes with some of their neighbours: which are drawn, how they are weighted, what is learnt from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import Block, GraphBatch, GraphOutputs, NodeGraph, NodeRows, Outputs, SparseRows, TrainPlan
from autokd.engine.batches import LengthBuckets
from autokd.methods.thanos.choosers import Chooser, Drawn
from autokd.methods.thanos.exp3 import Arms, Floats, Ints


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Every node's neighbours, itself apart: ``nodes`` and ``weights`` of node ``i`` stand at ``arms``' places of i;
    ``own`` [n_nodes] is the weight of the node itself."""

    arms: Arms
    nodes: Ints
    weights: Floats
    own: Floats


def neighbours_of(graph: NodeGraph) -> Neighbours:
    """The neighbours in a graph's normalised adjacency."""
    offsets, columns = graph.mixing.offsets.numpy(), graph.mixing.columns.numpy()
    values = graph.mixing.values.double().numpy()
    rows = np.repeat(np.arange(graph.n_nodes), np.diff(offsets))
    others, own = columns != rows, np.zeros(graph.n_nodes)
    own[rows[~others]] = values[~others]
    counts = np.bincount(rows[others], minlength=graph.n_nodes)
    return Neighbours(Arms(np.concatenate([[0], np.cumsum(counts)])), columns[others], values[others], own)


@dataclass(frozen=True, eq=False)
class Hop:
    """What one hop of the last batch drew: the summands' places, the edges' weights, and for which nodes."""

    drawn: Drawn
    sources: Ints  # [n_chosen] of those nodes that drew, places among the next hop's nodes
    weights: Floats  # [n_chosen] of the edges, not scaled


class NeighbourSource:
    """A BatchSource: shuffled batches of nodes, with ``k`` drawn neighbours for each node that a layer needs.

    A node with at most k neighbours reads them all. There is one hop for each layer of the student that reads
    neighbours; for students that read none the batches are plain.
    """

    def __init__(self, rows: NodeRows, plan: TrainPlan, k: int, make: Callable[[Arms, int], Chooser]) -> None:
        """``make(arms, n_hops)`` gives what draws for the nodes with more than k neighbours, whose arms these are."""
        self._batches = LengthBuckets(rows, plan.batch_size, plan.seeds)
        self.steps_per_epoch = self._batches.steps_per_epoch
        self._neighbours, self._n_hops = neighbours_of(rows.graph), plan.reach
        self._random = plan.seeds.numpy("neighbours")
        crowded = np.flatnonzero(self._neighbours.arms.counts > k)
        self._number = np.full(rows.graph.n_nodes, -1)  # of each node among those that draw
        self._number[crowded] = np.arange(len(crowded))
        self.chooser: Chooser = make(self._neighbours.arms.take(crowded)[0], plan.reach)
        self._hops: list[Hop] = []

    def next(self) -> GraphBatch:
        """The next batch; epochs follow each other without end."""
        batch = self._batches.next()
        assert isinstance(batch, GraphBatch)
        if not self._n_hops:
            return batch
        targets, blocks, self._hops = batch.ids[:, 0].numpy(), [], []
        for hop in range(self._n_hops):
            block, drawn, targets = self._block(hop, targets)
            blocks.append(block)
            self._hops.append(drawn)
        return replace(batch, nodes=torch.from_numpy(targets), blocks=tuple(blocks))

    def observe(self, outputs: Outputs) -> None:
        """Learn from what each layer added up."""
        if not self._n_hops:
            return
        assert isinstance(outputs, GraphOutputs)
        for number, hop in enumerate(self._hops):
            if hop.drawn.played is not None and len(hop.sources):
                summands = outputs.summands[self._n_hops - 1 - number]
                z = _numpy(summands[torch.from_numpy(hop.sources).to(summands.device)]) * hop.weights[:, None]
                self.chooser.learn(number, hop.drawn, z)
        self.chooser.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "batches": self._batches.state_dict(),
            "random": self._random.bit_generator.state,
            "chooser": self.chooser.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._batches.load_state_dict(state["batches"])
        self._random.bit_generator.state = state["random"]
        self.chooser.load_state_dict(state["chooser"])

    def _block(self, hop: int, targets: Ints) -> tuple[Block, Hop, Ints]:
        """The block of one hop, what was drawn, and the numbers of its sources, rising."""
        every = self._neighbours
        draws = self._number[targets] >= 0
        few_at, many_at = np.flatnonzero(~draws), np.flatnonzero(draws)
        few_arms, few = every.arms.take(targets[few_at])
        many_arms, many = every.arms.take(targets[many_at])
        drawn = self.chooser.draw(hop, self._number[targets[many_at]], self._random)
        kept = many[drawn.chosen]
        rows = np.concatenate(
            [np.arange(len(targets)), few_at[few_arms.owners], many_at[many_arms.owners[drawn.chosen]]]
        )
        nodes = np.concatenate([targets, every.nodes[few], every.nodes[kept]])
        scaled = every.weights[kept] * drawn.scales[drawn.chosen]
        values = np.concatenate([every.own[targets], every.weights[few], scaled])
        sources, columns = np.unique(nodes, return_inverse=True)
        block = Block(
            _sparse(rows, columns, values, len(targets), len(sources)), torch.from_numpy(columns[: len(targets)])
        )
        return block, Hop(drawn, columns[len(columns) - len(kept) :], every.weights[kept]), sources


def _sparse(rows: Ints, columns: Ints, values: Floats, n_rows: int, n_columns: int) -> SparseRows:
    order = np.lexsort((columns, rows))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    weights = torch.from_numpy(values[order].astype(np.float32))
    return SparseRows(torch.from_numpy(offsets), torch.from_numpy(columns[order]), weights, n_columns)


def _numpy(value: Tensor) -> Floats:
    found: Floats = value.detach().double().cpu().numpy()
    return found
