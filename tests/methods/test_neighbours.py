"""Sampled neighbours: which are drawn, how sums are weighted, and what a whole training with them does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autokd.contracts import GraphBatch, NodeRows, TrainPlan
from autokd.core.errors import SpecError
from autokd.core.graph import Graph, graph_of, node_split
from autokd.core.seeds import Seeds
from autokd.core.shape import graph_shape
from autokd.engine.evaluate import score_slot
from autokd.engine.nodes import node_rows
from autokd.methods.basics import AdamW, Distil, Labels, Logits
from autokd.methods.graph import GcnStudent, MlpStudent, TrainTeacher
from autokd.methods.thanos import BanditSampler, Thanos, Uniform
from autokd.methods.thanos.neighbours import NeighbourSource
from autokd.models.graph import fresh_network
from autokd.pipeline import Pipeline
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_graph

SAMPLERS = (Uniform(k=2), BanditSampler(k=2, eta=0.3), Thanos(k=2, eta=0.5, restart=9))


def rows_of(graph: Graph) -> NodeRows:
    return node_rows(node_split(graph, range(graph.n_nodes), [0] * graph.n_nodes))


def source_of(sampler: Uniform | BanditSampler | Thanos, rows: NodeRows, reach: int = 2, batch: int = 8, seed: int = 0):  # type: ignore[no-untyped-def]
    found = sampler.build(rows, TrainPlan(1000, 10, batch, Seeds(seed, "tests"), reach))
    assert isinstance(found, NeighbourSource)
    return found


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_blocks_hold_each_node_itself_and_k_true_neighbours_or_all(sampler: Uniform) -> None:
    graph = graph_of(tiny_graph())
    rows, degrees = rows_of(graph), np.bincount(graph.edges.reshape(-1), minlength=80)
    joined = {(int(a), int(b)) for a, b in graph.edges.T} | {(int(b), int(a)) for a, b in graph.edges.T}
    batch = source_of(sampler, rows).next()
    assert isinstance(batch, GraphBatch)
    assert batch.nodes is not None
    assert len(batch.blocks) == 2
    sources = batch.nodes.numpy()
    for block in batch.blocks[::-1]:
        targets = sources[block.own.numpy()]
        for i, node in enumerate(targets):
            at = slice(int(block.mixing.offsets[i]), int(block.mixing.offsets[i + 1]))
            read = sources[block.mixing.columns[at].numpy()].tolist()
            assert node in read
            others = [other for other in read if other != node]
            assert len(set(others)) == len(others) == min(2, degrees[node])
            assert all((int(node), other) in joined for other in others)
        sources = targets
    assert sources.tolist() == batch.ids[:, 0].tolist()


def _mean_logits(sampler: Uniform | BanditSampler, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean logits of one linear layer over many draws, and those with every neighbour."""
    rows = rows_of(graph_of(tiny_graph()))
    network = fresh_network(graph_shape(20, 2, 20.0, stages=1), seed=0)
    source, total = source_of(sampler, rows, reach=1, batch=80), torch.zeros(80, 2)
    with torch.no_grad():
        for _ in range(n):
            batch = source.next()
            outputs = network(batch)
            source.observe(outputs)
            total[batch.rows] += outputs.logits
        return total / n, network(rows.batch(torch.arange(80))).logits


@pytest.mark.parametrize("sampler", [Uniform(k=2), BanditSampler(k=2, eta=0.05)], ids=["Uniform", "BanditSampler"])
def test_sums_of_uniform_and_bandit_sampler_are_right_in_the_mean(sampler: Uniform) -> None:
    mean, exact = _mean_logits(sampler, 1500)
    assert float((mean - exact).square().sum() / exact.square().sum()) < 0.01


def test_where_k_is_no_less_than_every_degree_nothing_is_left_out() -> None:
    rows = rows_of(graph_of(tiny_graph()))
    network = fresh_network(graph_shape(20, 2, 20.0, hidden=6, stages=3, residual=True), seed=0)
    exact = network(rows.batch(torch.arange(80))).logits
    for sampler in (Uniform(k=40), BanditSampler(k=40), Thanos(k=40)):
        source = source_of(sampler, rows, reach=3)
        for _ in range(4):
            batch = source.next()
            outputs = network(batch)
            source.observe(outputs)
            torch.testing.assert_close(outputs.logits, exact[batch.rows], atol=1e-5, rtol=1e-4)


def test_thanos_learns_to_leave_out_large_neighbours_that_cancel() -> None:
    """The star of the paper's notes as a graph: the hub draws, and reads the leaves' features."""
    draw = np.random.Generator(np.random.PCG64(0))
    leaves = np.zeros((12, 16))
    leaves[:, 2] = 1.0
    leaves += 0.1 * draw.normal(size=leaves.shape)
    leaves[:4, 0] += [5, -5, 0, 0]
    leaves[:4, 1] += [0, 0, 5, -5]
    features = np.concatenate([np.zeros((1, 16)), leaves]).astype(np.float32)
    graph = Graph(
        features.reshape(-1),
        np.tile(np.arange(16), 13),
        np.arange(14) * 16,
        16,
        np.stack([np.zeros(12, dtype=np.int64), np.arange(1, 13)]),
    )
    rows = node_rows(node_split(graph, [0], [0]))
    network = fresh_network(graph_shape(16, 16, 16.0, stages=1), seed=0)
    network.layers[0].weight.data = torch.eye(16)  # type: ignore[union-attr]
    exact, errors = network(rows.batch(torch.tensor([0]))).logits.detach(), {}
    for sampler in (Uniform(k=3), Thanos(k=3)):
        source, found = source_of(sampler, rows, reach=1, batch=1), []
        for step in range(1500):
            batch = source.next()
            with torch.no_grad():
                outputs = network(batch)
            source.observe(outputs)
            if step >= 1200:
                found.append(float((outputs.logits - exact).square().sum()))
        errors[type(sampler).__name__] = np.mean(found)
    assert errors["Thanos"] < 0.6 * errors["Uniform"]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_a_source_goes_on_exactly_where_it_was_saved(sampler: Uniform) -> None:
    rows = rows_of(graph_of(tiny_graph()))
    network = fresh_network(graph_shape(20, 2, 20.0), seed=0)

    def steps(source: NeighbourSource, n: int) -> list[list[float]]:
        found = []
        for _ in range(n):
            batch = source.next()
            with torch.no_grad():
                outputs = network(batch)
            source.observe(outputs)
            found.append([batch.rows.tolist(), outputs.logits.tolist()])
        return found

    source = source_of(sampler, rows)
    steps(source, 7)
    told = source.state_dict()
    expected = steps(source, 6)
    resumed = source_of(sampler, rows, seed=5)
    resumed._batches._seeds = source._batches._seeds  # the batches' order comes from the seeds, not from the state
    resumed.load_state_dict(told)
    assert steps(resumed, 6) == expected


def test_students_that_read_no_neighbours_draw_none() -> None:
    rows = rows_of(graph_of(tiny_graph()))
    source = source_of(Thanos(), rows, reach=0)
    batch = source.next()
    assert batch.blocks == ()
    source.observe(fresh_network(graph_shape(20, 2, 20.0, family="mlp"), seed=0)(batch))


def test_a_network_of_another_depth_refuses_the_blocks() -> None:
    rows = rows_of(graph_of(tiny_graph()))
    batch = source_of(Uniform(), rows, reach=1).next()
    with pytest.raises(SpecError, match="needs as many blocks, but got 1"):
        fresh_network(graph_shape(20, 2, 20.0), seed=0)(batch)


GRAPH_FACTS = frozenset({"graph", "classification"})
TEXT_FACTS = frozenset({"text", "classification"})
DISTIL = {"use": "basics:Distil"}
TEACHER = {"use": "graph:TrainTeacher"}


@pytest.mark.parametrize(
    ("stages", "facts", "line"),
    [
        (
            [TEACHER, {"use": "basics:TruncateLayers"}, DISTIL],
            GRAPH_FACTS,
            r"stage 2 \(basics:TruncateLayers\) works on data of the kind text, but the task's are of the kind graph",
        ),
        (
            [{"use": "basics:FineTuneTeacher"}, {"use": "graph:GcnStudent"}, DISTIL],
            GRAPH_FACTS,
            "FineTuneTeacher.*kind text",
        ),
        (
            [TEACHER, {"use": "graph:GcnStudent"}, {**DISTIL, "objectives": [{"use": "basics:HiddenMSE"}]}],
            GRAPH_FACTS,
            r"basics:HiddenMSE in stage 3 \(basics:Distil\) works on data of the kind text",
        ),
        (
            [TEACHER, {"use": "graph:GcnStudent"}, {**DISTIL, "augmenters": [{"use": "basics:WordSwap"}]}],
            GRAPH_FACTS,
            "basics:WordSwap in stage 3.*kind text",
        ),
        (
            [TEACHER, {"use": "graph:GcnStudent"}, DISTIL],
            TEXT_FACTS,
            r"graph:TrainTeacher\) works on data of the kind graph",
        ),
        (
            [TEACHER, {"use": "graph:MlpStudent"}, {**DISTIL, "sampler": {"use": "thanos:Thanos"}}],
            GRAPH_FACTS,
            r"thanos:Thanos in stage 3 \(basics:Distil\) needs reads_neighbours",
        ),
        (
            [
                {"use": "basics:FineTuneTeacher"},
                {"use": "basics:TruncateLayers"},
                {**DISTIL, "sampler": {"use": "thanos:Uniform"}},
            ],
            TEXT_FACTS,
            r"thanos:Uniform in stage 3 \(basics:Distil\) works on data of the kind graph, but the task's .* kind text",
        ),
        ([{"use": "graph:GcnStudent"}, DISTIL], GRAPH_FACTS, "needs teacher"),
    ],
)
def test_what_does_not_go_together_is_refused(
    stages: list[dict[str, object]], facts: frozenset[str], line: str
) -> None:
    with pytest.raises(SpecError, match=line):
        Pipeline.from_json({"stages": stages}).check(facts)


def test_forms_for_texts_are_refused_on_a_graph() -> None:
    pipeline = {"stages": [TEACHER, {"use": "graph:GcnStudent"}, DISTIL], "form": "onnx-int8"}
    with pytest.raises(SpecError, match="'onnx-int8' is one of networks that read texts"):
        Pipeline.from_json(pipeline).check(GRAPH_FACTS)


def test_a_student_without_neighbours_learns_from_the_teacher_what_labels_alone_do_not_tell(tmp_path: Path) -> None:
    task = tiny_graph(200)
    teacher = TrainTeacher(hidden=16, epochs=60, optimizer=AdamW(lr=0.02))
    student, optimizer = MlpStudent(hidden=16, dropout=0.0), AdamW(lr=0.02)
    scores = {}
    for name, objective in (("labels", Labels()), ("logits", Logits())):
        distil = Distil((objective,), optimizer=optimizer, epochs=60, batch_size=512)
        models = run_stages((teacher, student, distil), task, tmp_path / name)
        scores[name] = score_slot(models["student"], node_rows(task.test), "accuracy", torch.device("cpu"))  # type: ignore[arg-type]
        scores["teacher"] = score_slot(models["teacher"], node_rows(task.test), "accuracy", torch.device("cpu"))  # type: ignore[arg-type]
    assert scores["logits"] >= scores["labels"]
    assert scores["teacher"] > 0.75


def test_every_sampler_trains_a_student_to_above_chance(tmp_path: Path) -> None:
    task = tiny_graph(200)
    for sampler in (None, *SAMPLERS):
        distil = Distil((Labels(),), optimizer=AdamW(lr=0.02), sampler=sampler, epochs=30, batch_size=32)
        stages = (TrainTeacher(hidden=8, epochs=2), GcnStudent(hidden=8), distil)
        models = run_stages(stages, task, tmp_path / type(sampler).__name__)
        score = score_slot(models["student"], node_rows(task.test), "accuracy", torch.device("cpu"))  # type: ignore[arg-type]
        assert score > 0.7, sampler


def test_restart_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"Thanos\.k must be a whole number of at least 1"):
        replace(Thanos(), k=0)
