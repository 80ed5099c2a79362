"""Graphs in files: one ``.npz`` archive of arrays, read without pickle, checked, and made a task.

Its arrays: node features as sparse rows (``feature_data`` [nnz], ``feature_indices`` [nnz], ``feature_indptr``
[n + 1], ``n_features``), ``labels`` [n] (class ids from 0, -1: none), ``edges`` [2, E] (each edge once or twice, in no
direction), and the node ids of ``train``, ``validation`` and ``test``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autokd.core.errors import DataError
from autokd.core.graph import Graph, Ints, NodeSplit, node_split
from autokd.core.task import DataKind, Split, Task
from autokd.measure.metrics import find_metric
from autokd.tasks.splits import IMBALANCE, Labelled

SUFFIX = ".npz"
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_INTEGERS = ("feature_indices", "feature_indptr", "n_features", "labels", "edges", *_SPLITS.values())
_KEYS = ("feature_data", *_INTEGERS)
_MOST_FEATURES = 10_000_000
_MOST_BYTES = 4 * 2**30  # of all arrays together, unpacked

Array = NDArray[Any]


def read_graph(path: Path, metric: str | None = None) -> Task:
    """The task in a graph's file. Raises DataError with the one thing that is wrong in it."""
    arrays = _arrays(path)
    labels = arrays["labels"].astype(np.int64)
    graph = _graph(path, arrays, len(labels))
    splits = {name: _ids(path, key, arrays[key], labels) for name, key in _SPLITS.items()}
    _refuse_overlaps(path, splits)
    return graph_task(path.stem, graph, labels, splits, metric)


def graph_task(name: str, graph: Graph, labels: Ints, splits: Mapping[str, Ints], metric: str | None = None) -> Task:
    """A task on these nodes; all other nodes, and those of validation and test, are its unlabelled ones.

    Whoever learns from the whole graph sees the features and edges of every node, of the labels only those of train.
    Raises DataError where train lacks a class that validation or test have, or there is but one.
    """
    made = {part: node_split(graph, ids.tolist(), labels[ids].tolist()) for part, ids in splits.items()}
    classes = np.unique(np.concatenate([labels[ids] for ids in splits.values()]))
    untrained = sorted(set(classes.tolist()) - set(labels[splits["train"]].tolist()))
    if untrained:
        raise DataError(f"every class must occur in train, but train of {name!r} has no node of {untrained}.")
    names = tuple(str(i) for i in range(int(classes.max()) + 1))
    if len(classes) < 2 or len(classes) < len(names):
        told = f"{name!r} has the classes {classes.tolist()}"
        raise DataError(f"class ids are numbered from 0 and there are at least 2, but {told}.")
    counts = np.bincount(labels[splits["train"]])
    usual = "macro_f1" if counts.max() > IMBALANCE * counts.min() else "accuracy"
    chosen = find_metric(metric or usual, "classification", len(names))
    others = sorted(set(range(graph.n_nodes)) - set(splits["train"].tolist()))
    told = f"{graph.n_nodes:,} nodes, {graph.edges.shape[1]:,} edges; the teacher labels the {len(others):,} nodes"
    return Task(
        name,
        made["train"],
        made["valid"],
        made["test"],
        names,
        "classification",
        chosen.name,
        (f"{told} without a training label for its students (their own labels stay hidden).",),
        node_split(graph, others) if others else None,
        seed=0,  # splits are the data's own
    )


@dataclass(frozen=True)
class LabelledNodes(Labelled):
    """Nodes of a graph, and their labels as text."""

    kind: ClassVar[DataKind] = "graph"

    nodes: tuple[int, ...]
    graph: Graph

    def typed(self, labels: Sequence[int] | Sequence[float]) -> NodeSplit:
        """The nodes with these class ids instead."""
        return node_split(self.graph, self.nodes, [int(label) for label in labels])


def labelled_nodes(split: Split, label_names: Sequence[str]) -> LabelledNodes:
    """The nodes of a graph's split with the names of their classes."""
    assert isinstance(split, NodeSplit)
    return LabelledNodes((), None, tuple(label_names[int(label)] for label in split.labels), split.nodes, split.graph)


def canonical_graph(data: Array, indices: Array, indptr: Array, n_features: int, edges: Array) -> Graph:
    """A graph with sorted feature columns and each edge once; self-loops are left out."""
    pairs = np.sort(edges.astype(np.int64), axis=0)
    loops = pairs[0] == pairs[1]
    once = np.unique(pairs[:, ~loops], axis=1)
    offsets = indptr.astype(np.int64)
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((indices, rows))
    return Graph(
        np.ascontiguousarray(data.astype(np.float32)[order]), indices.astype(np.int64)[order], offsets, n_features, once
    )


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise DataError(
                f"a graph's arrays take at most {_MOST_BYTES:,} bytes, but those of {str(path)!r} {size:,}."
            )
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive.files]
            if missing:
                raise DataError(f"a graph's file has the arrays {', '.join(_KEYS)}; {str(path)!r} lacks {missing}.")
            found = {key: archive[key] for key in _KEYS}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        why = "it holds Python objects" if "pickle" in str(error) else str(error)
        raise DataError(f"a graph's file is an .npz of plain arrays, but {str(path)!r} is not: {why}.") from error
    wrong = [key for key in _INTEGERS if not np.issubdtype(found[key].dtype, np.integer)]
    if wrong:
        kinds = ", ".join(f"{key} is {found[key].dtype}" for key in wrong)
        raise DataError(f"ids, labels and counts of a graph are whole numbers, but in {str(path)!r} {kinds}.")
    data = found["feature_data"]
    if not (np.issubdtype(data.dtype, np.floating) or np.issubdtype(data.dtype, np.integer)):
        raise DataError(f"features are numbers, but in {str(path)!r} feature_data is {data.dtype}.")
    return found


def _graph(path: Path, arrays: Mapping[str, Array], n_nodes: int) -> Graph:
    data, indices, indptr = (arrays[f"feature_{name}"] for name in ("data", "indices", "indptr"))
    _require(path, arrays["labels"].ndim == 1 and n_nodes > 0, "labels has one entry a node", arrays["labels"])
    _require(path, arrays["n_features"].size == 1, "n_features is one number", arrays["n_features"])
    n_features = int(arrays["n_features"].reshape(()))
    counted = f"n_features lies from 1 to {_MOST_FEATURES}"
    _require(path, 0 < n_features <= _MOST_FEATURES, counted, arrays["n_features"])
    _require(path, indptr.shape == (n_nodes + 1,), f"feature_indptr has shape ({n_nodes + 1},)", indptr)
    paired = data.ndim == 1 and data.shape == indices.shape
    _require(path, paired, "feature_data and feature_indices are equally long", data)
    rising = indptr[0] == 0 and indptr[-1] == len(data) and bool((np.diff(indptr) >= 0).all())
    _require(path, bool(rising), "feature_indptr rises from 0 to the number of features' values", indptr)
    _require(path, bool(np.isfinite(data).all()), "feature_data is finite", data)
    _in_range(path, "feature_indices", indices, n_features)
    edges = arrays["edges"]
    _require(path, edges.ndim == 2 and edges.shape[0] == 2, "edges has shape (2, number of edges)", edges)
    _in_range(path, "edges", edges, n_nodes)
    rows = np.repeat(np.arange(n_nodes), np.diff(indptr))
    cells = rows.astype(np.int64) * n_features + indices
    _require(path, len(np.unique(cells)) == len(cells), "each feature of a node stands there once", indices)
    return canonical_graph(data, indices, indptr, n_features, edges)


def _ids(path: Path, key: str, ids: Array, labels: Ints) -> Ints:
    _require(path, ids.ndim == 1 and ids.size > 0, f"{key} lists node ids", ids)
    _in_range(path, key, ids, len(labels))
    found: Ints = ids.astype(np.int64)
    _require(path, len(np.unique(found)) == len(found), f"{key} names each node once", ids)
    bare = int((labels[found] < 0).sum())
    if bare:
        raise DataError(
            f"nodes of a split are labelled, but {bare} of {len(found)} nodes of {key} in {str(path)!r} have -1."
        )
    return found


def _refuse_overlaps(path: Path, splits: Mapping[str, Ints]) -> None:
    for name, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        shared = len(np.intersect1d(splits[name], splits[other]))
        if shared:
            both = f"{_SPLITS[name]} and {_SPLITS[other]}"
            raise DataError(f"a node is in one split, but {both} of {str(path)!r} share {shared} nodes.")


def _require(path: Path, holds: bool, rule: str, array: Array) -> None:
    if not holds:
        shown = f"shape {array.shape}" if array.size > 4 else f"{array.tolist()}"
        raise DataError(f"in a graph's file {rule}, but {str(path)!r} breaks that ({shown}).")


def _in_range(path: Path, key: str, ids: Array, below: int) -> None:
    out = ids[(ids < 0) | (ids >= below)] if ids.size else ids
    if out.size:
        told = f"{key} of {str(path)!r} has {int(out.reshape(-1)[0])} ({out.size} such)"
        raise DataError(f"ids in {key} lie from 0 to {below - 1}, but {told}.")
