"""Networks on graphs: what they compute, what they cost, and how they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autokd.contracts import GraphBatch, NodeRows, Wants
from autokd.core.errors import DataError, SpecError
from autokd.core.graph import Graph, graph_of, node_split
from autokd.core.provenance import Provenance
from autokd.core.shape import GraphShape, graph_shape
from autokd.deploy.folders import kind_of, labels_of, trained_from
from autokd.deploy.graph_runtime import open_graph_runtime
from autokd.engine.dropout import StreamDropout
from autokd.engine.evaluate import predict
from autokd.engine.nodes import mixing, node_graph, node_rows, start_shape
from autokd.measure.cost import count_parameters, counted_macs
from autokd.models.graph import GraphNetwork, fresh_network, graph_slot
from autokd.models.graph_checkpoint import save_checkpoint
from autokd.models.slots import build, load_slot, network_of, save_slot, shape_of_slot, slot_like
from autokd.testing.tiny import tiny_graph

CPU = torch.device("cpu")


def path_graph() -> Graph:
    """0 - 1 - 2 and 3 alone; two features, of which 3 has none."""
    return Graph(
        data=np.array([1.0, 3.0, 2.0, 4.0], dtype=np.float32),
        indices=np.array([0, 0, 1, 1]),
        indptr=np.array([0, 1, 3, 4, 4]),
        n_features=2,
        edges=np.array([[0, 1], [1, 2]]),
    )


def all_rows(graph: Graph) -> NodeRows:
    return node_rows(node_split(graph, range(graph.n_nodes)))


def whole(rows: NodeRows) -> GraphBatch:
    return rows.batch(torch.arange(len(rows)))


def dense(graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised adjacency and features, by the book."""
    a = torch.eye(graph.n_nodes)
    a[graph.edges[0], graph.edges[1]] = 1
    a[graph.edges[1], graph.edges[0]] = 1
    d = a.sum(1).rsqrt().diag()
    x = torch.zeros(graph.n_nodes, graph.n_features)
    for i in range(graph.n_nodes):
        at = slice(graph.indptr[i], graph.indptr[i + 1])
        x[i, graph.indices[at]] = torch.from_numpy(graph.data[at])
    sums = x.sum(1, keepdim=True)
    return d @ a @ d, x / sums.clamp(min=1e-12) if bool((x >= 0).all()) else x


def test_the_adjacency_is_normalised_with_self_loops() -> None:
    found = mixing(path_graph())
    table = torch.zeros(4, 4)
    for i in range(4):
        at = slice(int(found.offsets[i]), int(found.offsets[i + 1]))
        table[i, found.columns[at]] = found.values[at]
    torch.testing.assert_close(table, dense(path_graph())[0])
    assert node_graph(path_graph()).mean_extent == pytest.approx(8 / 4)


def test_features_that_are_counts_are_divided_by_their_sum() -> None:
    torch.testing.assert_close(node_graph(path_graph()).features.values, torch.tensor([1.0, 0.6, 0.4, 1.0]))
    graph = path_graph()
    mixed = Graph(-graph.data, graph.indices, graph.indptr, 2, graph.edges)
    torch.testing.assert_close(node_graph(mixed).features.values, torch.from_numpy(mixed.data))


@pytest.mark.parametrize("graph", [path_graph(), graph_of(tiny_graph())], ids=["sparse", "dense"])
@pytest.mark.parametrize("family", ["gcn", "mlp"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("residual", [False, True])
def test_a_network_computes_its_equation(graph: Graph, family: str, activation: str, residual: bool) -> None:
    shape = graph_shape(
        graph.n_features, 3, 1.0, family=family, hidden=5, stages=3, residual=residual, activation=activation
    )
    network = fresh_network(shape, seed=1)
    for layer in network.layers:
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(2))  # type: ignore[arg-type]
    m, value = dense(graph)
    for i, layer in enumerate(network.layers):
        own = value @ layer.weight  # type: ignore[operator]
        value = (m @ own + residual * own if family == "gcn" else own) + layer.bias
        value = value if i == 2 else getattr(torch, activation)(value)
    torch.testing.assert_close(network(whole(all_rows(graph))).logits, value, atol=1e-5, rtol=1e-4)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(network(all_rows(graph).batch(some)).logits, value[some], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("task", [tiny_graph()], ids=["csbm"])
@pytest.mark.parametrize("family", ["gcn", "mlp"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_cost_and_size_in_closed_form_are_what_is_counted(task: object, family: str, stages: int) -> None:
    for graph in (path_graph(), graph_of(tiny_graph())):
        rows = all_rows(graph)
        shape = graph_shape(graph.n_features, 4, rows.graph.filled, family=family, hidden=6, stages=stages)
        network = network_of(shape)
        assert isinstance(network, GraphNetwork)
        assert count_parameters(network) == shape.params()
        assert counted_macs(network, whole(rows)) == pytest.approx(graph.n_nodes * shape.macs(rows.graph.mean_extent))


def test_dropout_has_a_stream_of_its_own_and_evaluation_has_none() -> None:
    rows = all_rows(graph_of(tiny_graph()))
    network = fresh_network(graph_shape(20, 2, 20.0, hidden=8), seed=0)
    before = torch.get_rng_state()
    first, again = (network(whole(rows), dropout=StreamDropout(3, CPU)).logits for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.allclose(first, network(whole(rows)).logits)
    assert torch.equal(network(whole(rows)).logits, network(whole(rows)).logits)


def test_fresh_networks_differ_by_their_seed_alone() -> None:
    shape = graph_shape(20, 2, 20.0)
    one, same, other = (graph_slot(fresh_network(shape, seed)) for seed in (1, 1, 2))
    assert one.content == same.content != other.content
    assert float(one.weights["layers.0.weight"].abs().max()) <= (6 / 36) ** 0.5


def test_what_a_graph_network_has_not_is_refused() -> None:
    rows = all_rows(path_graph())
    network = fresh_network(graph_shape(2, 2, 1.0), seed=0)
    with pytest.raises(SpecError, match="gives logits only"):
        network(whole(rows), Wants(hidden=frozenset({1})))
    with pytest.raises(SpecError, match="is \\('gcn', 'mlp'\\)"):
        GraphNetwork(replace(graph_shape(2, 2, 1.0), family="gat"))


def test_slots_of_graph_networks_come_back(tmp_path: Path) -> None:
    network = fresh_network(graph_shape(20, 2, 20.0, residual=True), seed=0)
    slot = graph_slot(network)
    save_slot(slot, tmp_path / "slot")
    loaded = load_slot(tmp_path / "slot")
    assert loaded.content == slot.content
    assert shape_of_slot(loaded) == network.shape
    assert isinstance(shape_of_slot(loaded), GraphShape)
    assert slot_like(build(loaded), loaded).content == slot.content


def test_a_checkpoint_gives_the_same_logits_and_says_what_it_is(tmp_path: Path) -> None:
    task = tiny_graph()
    slot = graph_slot(fresh_network(replace(start_shape(task), stages=2, hidden=8), seed=0))
    save_checkpoint(slot, tmp_path / "it", task.label_names, task.problem, trained_from=Provenance.of(task))
    assert trained_from(tmp_path / "it") == Provenance(task.name, 0, task.labelled_content, task.metric)
    assert sorted(path.name for path in (tmp_path / "it").iterdir()) == ["config.json", "model.safetensors"]
    assert kind_of(tmp_path / "it") == "graph"
    assert labels_of(tmp_path / "it") == ("0", "1")
    rows = node_rows(task.test)  # type: ignore[arg-type]
    runtime = open_graph_runtime(tmp_path / "it")
    assert np.array_equal(runtime.logits(rows), predict(build(slot), rows, CPU).numpy())
    on = runtime.on(rows.graph)
    assert on.vocabulary == 80
    called = on.run({"input_ids": rows.ids[:3, None].numpy()})
    np.testing.assert_allclose(called, runtime.logits(rows)[:3], atol=1e-6)
    with pytest.raises(DataError, match="this one reads 20 and the data's have 2"):
        runtime.logits(all_rows(path_graph()))
    with pytest.raises(DataError, match="timed on a graph"):
        _ = runtime.vocabulary


def test_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    slot = graph_slot(fresh_network(graph_shape(20, 2, 20.0), seed=0))
    save_checkpoint(slot, tmp_path / "it", ("a", "b"), "classification")
    config = (tmp_path / "it" / "config.json").read_text()
    (tmp_path / "it" / "config.json").write_text(config.replace('"hidden": 16', '"hidden": 8'))
    with pytest.raises(DataError, match="weights are those of its shape"):
        open_graph_runtime(tmp_path / "it")
    (tmp_path / "it" / "config.json").write_text('{"model_type": "autokd-graph"}')
    with pytest.raises(DataError, match="tells its shape"):
        open_graph_runtime(tmp_path / "it")
