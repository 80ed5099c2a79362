"""A graph task's own parts as JSON, exactly: arrays as base64 of their bytes, splits as node ids and labels."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from autokd.core.graph import Graph, NodeSplit, node_split

_ARRAYS = {"data": "<f4", "indices": "<i8", "indptr": "<i8", "edges": "<i8"}


def graph_json(graph: Graph) -> dict[str, Any]:
    """The graph; ``graph_from`` reads it."""
    found: dict[str, Any] = {"n_features": graph.n_features}
    for name, kind in _ARRAYS.items():
        value = np.ascontiguousarray(getattr(graph, name), dtype=kind)
        found[name] = base64.b64encode(value.tobytes()).decode()
    return found


def graph_from(value: Mapping[str, Any]) -> Graph:
    """The graph that ``graph_json`` wrote. Raises ValueError or KeyError for anything else."""
    arrays = {
        name: np.frombuffer(base64.b64decode(value[name], validate=True), dtype=kind).copy()
        for name, kind in _ARRAYS.items()
    }
    return Graph(
        arrays["data"], arrays["indices"], arrays["indptr"], int(value["n_features"]), arrays["edges"].reshape(2, -1)
    )


def nodes_json(split: NodeSplit) -> dict[str, Any]:
    """A split without its graph."""
    return {"nodes": split.nodes, "labels": split.labels}


def nodes_from(value: Mapping[str, Any], graph: Graph) -> NodeSplit:
    """The split that ``nodes_json`` wrote, of this graph."""
    return node_split(graph, value["nodes"], value["labels"])
