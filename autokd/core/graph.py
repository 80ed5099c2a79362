"""A graph as plain arrays, and splits of its nodes: what a task of the kind ``graph`` is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autokd.core.errors import SpecError
from autokd.core.task import NO_CLASS, DataKind, Split, Task

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes with features, joined by undirected edges. Graphs of the same content are equal.

    Features are sparse rows: node ``i`` has ``data[indptr[i]:indptr[i + 1]]`` (float32) in the columns
    ``indices[indptr[i]:indptr[i + 1]]`` (int64, rising) of ``n_features``. ``edges`` [2, n_edges] int64 holds each
    edge once, in no direction; no node is joined to itself.
    """

    data: Floats
    indices: Ints
    indptr: Ints
    n_features: int
    edges: Ints

    @property
    def n_nodes(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def content(self) -> str:
        """A hash of everything in it: 20 hex digits."""
        found = hashlib.sha256(f"{self.n_nodes} {self.n_features} {self.edges.shape[1]}".encode())
        for array, kind in ((self.data, "<f4"), (self.indices, "<i8"), (self.indptr, "<i8"), (self.edges, "<i8")):
            found.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return found.hexdigest()[:20]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


@dataclass(frozen=True)
class NodeSplit(Split):
    """Some nodes of a graph with their labels: the rows of a split are nodes, and there are no texts."""

    kind: ClassVar[DataKind] = "graph"

    nodes: tuple[int, ...]
    graph: Graph

    def __len__(self) -> int:
        return len(self.nodes)

    def take(self, rows: Sequence[int]) -> NodeSplit:
        """The split with only these rows, in this order."""
        return node_split(self.graph, [self.nodes[i] for i in rows], [int(self.labels[i]) for i in rows])

    def plus(self, other: Split) -> NodeSplit:
        """This split followed by another one of the same graph."""
        if not isinstance(other, NodeSplit) or other.graph != self.graph:
            raise ValueError("splits of two graphs cannot be joined")
        labels = [int(label) for label in (*self.labels, *other.labels)]
        return node_split(self.graph, [*self.nodes, *other.nodes], labels)

    def told(self) -> list[Any]:
        return [self.graph.content, self.nodes, self.labels]


def node_split(graph: Graph, nodes: Sequence[int], labels: Sequence[int] | None = None) -> NodeSplit:
    """These nodes with these class ids; None: without labels."""
    ids = tuple(int(node) for node in nodes)
    given = (NO_CLASS,) * len(ids) if labels is None else tuple(int(label) for label in labels)
    return NodeSplit((), None, given, ids, graph)


def graph_of(task: Task) -> Graph:
    """The graph whose nodes a task labels. Raises SpecError for a task of another kind."""
    if not isinstance(task.train, NodeSplit):
        raise SpecError(f"a graph method needs a task of the kind graph, but {task.name!r} is of the kind {task.kind}.")
    return task.train.graph
