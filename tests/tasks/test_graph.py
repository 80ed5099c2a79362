"""Graphs in files and from the block model: read, checked, frozen, and refused where they are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd.core.errors import AutokdError, DataError, UsageError
from autokd.core.graph import NodeSplit, graph_of
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.pipeline import task_facts
from autokd.tasks.csbm import BlockModel, make_csbm, parse
from autokd.tasks.frozen import freeze, thaw
from autokd.tasks.load import load_task
from autokd.testing.tiny import tiny_task


def arrays() -> dict[str, Any]:
    """Twelve nodes on a ring, three features."""
    nodes = np.arange(12)
    return {
        "feature_data": np.ones(24, dtype=np.float32),
        "feature_indices": np.stack([nodes % 3, (nodes + 1) % 3], axis=1).reshape(-1),
        "feature_indptr": np.arange(13) * 2,
        "n_features": np.int64(3),
        "labels": np.array([0, 1] * 5 + [-1, -1]),
        "edges": np.stack([nodes, (nodes + 1) % 12]),
        "train": np.arange(4),
        "validation": np.arange(4, 7),
        "test": np.arange(7, 10),
    }


def saved(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "ring.npz", **{**arrays(), **changes})
    return folder / "ring.npz"


def test_a_file_is_a_task_of_nodes(tmp_path: Path) -> None:
    task = load_task(DataSource(str(saved(tmp_path))), seed=0)
    graph = graph_of(task)
    assert (task.name, task.kind, task.problem, task.metric) == ("ring", "graph", "classification", "accuracy")
    assert task_facts(task) == {"graph", "classification"}
    assert (graph.n_nodes, graph.n_features, graph.edges.shape) == (12, 3, (2, 12))
    assert isinstance(task.train, NodeSplit)
    assert (task.train.nodes, task.train.labels) == ((0, 1, 2, 3), (0, 1, 0, 1))
    assert isinstance(task.unlabelled, NodeSplit)
    assert task.unlabelled.nodes == tuple(range(4, 12))
    assert set(task.unlabelled.labels) == {-100}
    assert (task.label_names, task.n_outputs) == (("0", "1"), 2)
    assert "8 nodes without a training label" in task.notes[-1]


def test_splits_join_and_can_be_taken_from(tmp_path: Path) -> None:
    task = load_task(DataSource(str(saved(tmp_path))), seed=0)
    both = task.train.plus(task.valid).take([1, 4])
    assert isinstance(both, NodeSplit)
    assert (both.nodes, both.labels, len(both)) == ((1, 4), (1, 0), 2)
    with pytest.raises(ValueError, match="two graphs"):
        task.train.plus(tiny_task().train)


def test_the_same_nodes_of_another_graph_are_other_rows(tmp_path: Path) -> None:
    plain = load_task(DataSource(str(saved(tmp_path))), seed=0).train
    again = load_task(DataSource(str(saved(tmp_path))), seed=0).train
    other = load_task(DataSource(str(saved(tmp_path, feature_data=np.arange(24.0)))), seed=0).train
    assert (plain.labels, again) == (other.labels, plain)
    assert hash(again) == hash(plain)
    assert other != plain


def test_loops_doubles_and_the_order_of_features_make_no_difference(tmp_path: Path) -> None:
    plain = load_task(DataSource(str(saved(tmp_path))), seed=0)
    edges = arrays()["edges"]
    twice = np.concatenate([edges, edges[::-1], [[5], [5]]], axis=1)
    swapped = arrays()["feature_indices"].reshape(12, 2)[:, ::-1].reshape(-1)
    again = load_task(DataSource(str(saved(tmp_path, edges=twice, feature_indices=swapped))), seed=0)
    assert again.content == plain.content
    other = load_task(DataSource(str(saved(tmp_path, edges=edges[:, :-1]))), seed=0)
    assert other.content != plain.content


@pytest.mark.parametrize(
    "make",
    [lambda p: load_task(DataSource(str(saved(p))), 0), lambda p: make_csbm(BlockModel(n=60))],
    ids=["npz", "csbm"],
)
def test_a_frozen_graph_comes_back_exactly(make: Callable[[Path], Task], tmp_path: Path) -> None:
    task = make(tmp_path)
    freeze(task, tmp_path / "a")
    freeze(task, tmp_path / "b")
    found = thaw(tmp_path / "a")
    assert found == task
    assert found.content == task.content
    assert graph_of(found).content == graph_of(task).content
    assert (tmp_path / "a" / "task.json.gz").read_bytes() == (tmp_path / "b" / "task.json.gz").read_bytes()


def test_a_frozen_graph_that_was_changed_is_refused(tmp_path: Path) -> None:
    import gzip

    freeze(make_csbm(BlockModel(n=60)), tmp_path)
    path = tmp_path / "task.json.gz"
    value = json.loads(gzip.decompress(path.read_bytes()))
    for change in ({"n_features": 201}, {"edges": "AAAA"}, {"data": "!"}):
        path.write_bytes(gzip.compress(json.dumps({**value, "graph": {**value["graph"], **change}}).encode()))
        with pytest.raises(DataError, match="a study's task must"):
            thaw(tmp_path)


def _short(key: str) -> Any:
    return arrays()[key][:-1]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": np.full(12, -1)}, "nodes of a split are labelled, but 4 of 4 nodes of train"),
        ({"labels": np.zeros(12, dtype=int)}, "at least 2"),
        ({"labels": np.array([0, 2] * 6)}, "numbered from 0"),
        ({"labels": np.array([0, 0, 0, 0, 1] + [0] * 7)}, r"train of 'ring' has no node of \[1\]"),
        ({"labels": np.linspace(0, 1, 12)}, "whole numbers, but in .* labels is float64"),
        ({"labels": np.zeros((12, 2), dtype=int)}, "labels has one entry a node"),
        ({"edges": np.array([[0, 1], [1, 12]])}, r"ids in edges lie from 0 to 11, but edges of .* has 12 \(1 such\)"),
        ({"edges": np.array([[0, -1], [1, 2]])}, "ids in edges lie from 0 to 11"),
        ({"edges": np.zeros((3, 5), dtype=int)}, r"edges has shape \(2, number of edges\)"),
        ({"feature_indptr": _short("feature_indptr")}, r"feature_indptr has shape \(13,\)"),
        ({"feature_indptr": np.array([0, 4, 2] + [24] * 10)}, "feature_indptr rises from 0"),
        ({"feature_indices": _short("feature_indices")}, "equally long"),
        ({"feature_indices": np.full(24, 3)}, "ids in feature_indices lie from 0 to 2"),
        ({"feature_indices": np.zeros(24, dtype=int)}, "each feature of a node stands there once"),
        ({"feature_data": np.full(24, np.nan)}, "feature_data is finite"),
        ({"feature_data": np.array(["a"] * 24)}, "features are numbers"),
        ({"n_features": np.array([3, 3])}, "n_features is one number"),
        ({"n_features": np.int64(0)}, "n_features lies from 1 to"),
        ({"train": np.array([0, 1, 1])}, "train names each node once"),
        ({"train": np.array([], dtype=int)}, "train lists node ids"),
        ({"test": np.array([12])}, "ids in test lie from 0 to 11"),
        ({"test": np.array([3, 8])}, "train and test of .* share 1 nodes"),
        ({"train": np.arange(4.0)}, "whole numbers, but in .* train is float64"),
        ({"labels": np.array([{"a": 1}] * 12, dtype=object)}, "it holds Python objects"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=line) as found:
        load_task(DataSource(str(saved(tmp_path, **changes))), seed=0)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("key", [*arrays()])
def test_a_file_without_one_of_its_arrays_is_refused(key: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", **{name: value for name, value in arrays().items() if name != key})
    with pytest.raises(DataError, match=f"lacks \\['{key}'\\]"):
        load_task(DataSource(str(tmp_path / "it.npz")), seed=0)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "it.npz").write_bytes(b"no archive at all")
    with pytest.raises(DataError, match=r"an \.npz of plain arrays"):
        load_task(DataSource(str(tmp_path / "it.npz")), seed=0)
    (tmp_path / "it.npz").write_bytes(saved(tmp_path).read_bytes()[:300])
    with pytest.raises(DataError, match=r"an \.npz of plain arrays"):
        load_task(DataSource(str(tmp_path / "it.npz")), seed=0)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (DataSource("no.npz"), "there is none at no.npz"),
        (DataSource("csbm", text_column="t"), "columns can be named for files only"),
        (DataSource("csbm", unlabelled="more.txt"), "brings its unlabelled nodes along"),
        (DataSource("csbm", metric="pearson"), "'pearson' does not fit"),
        (DataSource("csbm:n=10"), "n lies from 40"),
        (DataSource("csbm:m=10"), "unknown option of csbm 'm'"),
        (DataSource("csbm:n=many"), "csbm's n is a number"),
        (DataSource("csbm:edge_signal=4"), "edge_signal lies within"),
        (DataSource("csbm:noise_1=-1"), "finite and not negative"),
    ],
)
def test_what_cannot_be_meant_is_refused(source: DataSource, line: str) -> None:
    with pytest.raises(AutokdError, match=line):
        load_task(source, seed=0)


def test_the_block_model_is_what_it_says() -> None:
    task = load_task(DataSource("csbm"), seed=0)
    again = load_task(DataSource("csbm"), seed=5)
    graph = graph_of(task)
    assert task.content == again.content
    assert (graph.n_nodes, graph.n_features) == (1000, 200)
    assert 2 * graph.edges.shape[1] / 1000 == pytest.approx(10, rel=0.05)
    classes = np.arange(1000) % 2
    within = (classes[graph.edges[0]] == classes[graph.edges[1]]).mean()
    assert within == pytest.approx((10 + 10**0.5) / 20, abs=0.03)
    features = graph.data.reshape(1000, 200)
    assert features[classes == 0].std() == pytest.approx(200**-0.5, rel=0.05)
    assert features[classes == 1].std() == pytest.approx(2 * 200**-0.5, rel=0.05)
    assert [len(split) for split in (task.train, task.valid, task.test)] == [300, 200, 500]
    assert load_task(DataSource("csbm:seed=1"), 0).content != task.content
    assert parse("csbm:n=60, degree=4") == BlockModel(n=60, degree=4.0)


@pytest.mark.parametrize(("name", "sizes"), [("cora", (2708, 5278, 7)), ("citeseer", (3327, 4552, 6))])
def test_real_graphs_are_read(name: str, sizes: tuple[int, int, int], data_dir: Path) -> None:
    task = load_task(DataSource(f"graph/{name}.npz", str(data_dir)), seed=0)
    graph = graph_of(task)
    assert (graph.n_nodes, graph.edges.shape[1], task.n_outputs) == sizes
    assert task.n_unlabelled == graph.n_nodes - len(task.train)


def test_a_model_of_texts_wants_texts() -> None:
    with pytest.raises(UsageError, match="needs a task of the kind graph"):
        graph_of(tiny_task())
