"""Graph networks as they run after deployment: torch on the CPU, one pass for the nodes that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from autokd.contracts import GraphBatch, NodeGraph, NodeRows, Rows
from autokd.core.errors import DataError
from autokd.engine.evaluate import predict
from autokd.models.graph import GraphNetwork
from autokd.models.graph_checkpoint import load_graph_network

_CPU = torch.device("cpu")


def _nothing() -> None:
    """What happens before the pass where nobody wants to stop."""


@dataclass(frozen=True, eq=False)
class GraphRuntime:
    """A graph checkpoint in torch. Rows bring their graph along; ``run``, which is timed, reads ``graph``.

    A call of a network that reads neighbours passes over the whole graph, whatever the number of nodes asked for; the
    ``vocabulary`` are the graph's nodes, and a row has one: its own number.
    """

    network: GraphNetwork
    threads: int = 1
    graph: NodeGraph | None = None
    name: str = "torch"
    positions: int = 2**31
    token_types: int = 1
    pad_id: int = 0
    names: tuple[str, ...] = ("input_ids",)

    @property
    def vocabulary(self) -> int:
        return self._graph.n_nodes

    def on(self, graph: NodeGraph) -> GraphRuntime:
        """The same network for calls on this graph."""
        return replace(self, graph=graph)

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits [batch, n_outputs] of the nodes ``input_ids`` [batch, 1 or more], the first number of each row."""
        ids = torch.from_numpy(inputs["input_ids"][:, :1])
        ones, labels = torch.ones_like(ids), torch.zeros(len(ids), dtype=torch.int64)
        batch = GraphBatch(ids, ones * 0, ones, labels, torch.arange(len(ids)), graph=self._graph)
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                found: np.ndarray = self.network(batch).logits.numpy()
        finally:
            torch.set_num_threads(before)
        return found

    def logits(
        self, rows: Rows, batch_size: int | None = None, *, callers: int = 1, between: Callable[[], None] = _nothing
    ) -> np.ndarray:
        """Logits [n_rows, n_outputs] in row order, of one pass, before which ``between`` is called.

        Raises DataError for rows that are no nodes, or whose features are not those that the network reads.
        """
        between()
        shape = self.network.shape
        if not isinstance(rows, NodeRows):
            raise DataError("a graph network reads nodes of a graph, but the data are texts.")
        if rows.graph.features.width != shape.vocabulary:
            told = f"this one reads {shape.vocabulary} and the data's have {rows.graph.features.width}"
            raise DataError(f"a graph network reads nodes with as many features as it was made for, but {told}.")
        found: np.ndarray = predict(self.network, rows, _CPU).numpy()
        return found

    @property
    def _graph(self) -> NodeGraph:
        if self.graph is None:
            raise DataError("a graph network is timed on a graph, but got none.")
        return self.graph


def open_graph_runtime(folder: Path, threads: int = 1) -> GraphRuntime:
    """A checkpoint's folder as a runtime. Raises DataError for one that does not load."""
    return GraphRuntime(load_graph_network(folder), threads)
