"""From a graph's arrays to what networks read, and from its nodes to rows."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import NodeGraph, NodeRows, SparseRows
from autokd.core.errors import DataError
from autokd.core.graph import Graph, NodeSplit, graph_of
from autokd.core.shape import GraphShape, graph_shape
from autokd.core.task import Task


@lru_cache(maxsize=2)
def node_graph(graph: Graph) -> NodeGraph:
    """The graph's tensors. Features that are nowhere negative are divided by their sum over the node, as is usual."""
    offsets, columns = torch.from_numpy(graph.indptr.copy()), torch.from_numpy(graph.indices.copy())
    values = torch.from_numpy(graph.data.copy())
    if bool((values >= 0).all()):
        rows = torch.repeat_interleave(torch.arange(graph.n_nodes), offsets[1:] - offsets[:-1])
        sums = torch.zeros(graph.n_nodes).index_add_(0, rows, values)
        values = values / sums.clamp(min=1e-12)[rows]
    return NodeGraph(SparseRows(offsets, columns, values, graph.n_features), mixing(graph))


def mixing(graph: Graph) -> SparseRows:
    """``D^-1/2 (A + I) D^-1/2`` with the degrees of ``A + I``."""
    n, (left, right) = graph.n_nodes, graph.edges
    rows = np.concatenate([left, right, np.arange(n)])
    columns = np.concatenate([right, left, np.arange(n)])
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    degrees = np.bincount(rows, minlength=n)
    offsets = np.concatenate([[0], np.cumsum(degrees)])
    values = (1 / np.sqrt(degrees[rows] * degrees[columns])).astype(np.float32)
    return SparseRows(torch.from_numpy(offsets), torch.from_numpy(columns), torch.from_numpy(values), n)


def start_shape(task: Task) -> GraphShape:
    """The smallest network on a task's graph (logits from the features): others take their numbers of features and of
    classes from it. Raises SpecError for a task of another kind."""
    graph = graph_of(task)
    return graph_shape(graph.n_features, task.n_outputs, len(graph.data) / graph.n_nodes, stages=1)


def node_rows(split: NodeSplit) -> NodeRows:
    """The nodes of a split as rows. Raises DataError for an empty split."""
    if len(split) == 0:
        raise DataError("a split must have nodes, but got none.")
    nodes = torch.tensor(split.nodes, dtype=torch.int64)
    return NodeRows(
        ids=nodes,
        types=torch.zeros_like(nodes),
        offsets=torch.arange(len(nodes) + 1),
        labels=torch.tensor(split.labels, dtype=torch.int64),
        keys=_keys(split),
        graph=node_graph(split.graph),
    )


def _keys(split: NodeSplit) -> Tensor:
    """A node is the same row wherever the whole graph is the same."""
    base = int.from_bytes(hashlib.blake2b(split.graph.content.encode(), digest_size=8).digest(), "big")
    spread = [(base + 0x9E3779B97F4A7C15 * node) % 2**64 - 2**63 for node in split.nodes]
    return torch.tensor(spread, dtype=torch.int64)
