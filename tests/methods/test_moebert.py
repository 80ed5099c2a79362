"""MoEBERT's conversion: the deal, importance against its definition, counts of the paper, dense limits."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Batch, Models, Sizes
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.batches import collate, scoring_batches
from autokd.methods.basics import Distil
from autokd.methods.basics.objectives import task_loss
from autokd.methods.moebert import ToExperts
from autokd.methods.moebert.deal import deal
from autokd.methods.moebert.importance import neuron_importance
from autokd.methods.moebert.stage import ROUTINGS
from autokd.models.elastic import encoder_of, shape_of
from autokd.models.encoder import Encoder
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_task
from tests.methods.moebert_parts import BERT, STAGE, TEACHER, converted, rows

_CLS = 2  # the tiny tokenizer's id of [CLS]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER,), tiny_task(), tmp_path_factory.mktemp("moebert"))


def test_deal_by_hand() -> None:
    dealt = deal(torch.arange(6), 2, 4, 2)
    assert [part.tolist() for part in dealt] == [[0, 1, 2, 4], [0, 1, 3, 5]]


def test_deal_of_the_paper() -> None:
    experts = [set(part.tolist()) for part in deal(torch.arange(3072), 4, 768, 512)]
    assert [len(part) for part in experts] == [768] * 4
    assert set.union(*experts) == set(range(1536))
    assert set.intersection(*experts) == set(range(512))
    assert all(512 + i in part for i, part in enumerate(experts))


@pytest.mark.parametrize(("routing", "gates"), [("hash", 0), ("gate_token", 12 * 4 * 768)])
def test_counts_of_the_paper(routing: str, gates: int) -> None:
    """Without the task's head, which the paper does not count; a gate is met by every token."""
    _, after = ToExperts(routing=routing).cost(Sizes(10, 64.0, BERT))
    assert after.student is not None
    with torch.device("meta"):
        network = Encoder(after.student)
    head = sum(p.numel() for p in network.classifier.parameters())
    stored = sum(p.numel() for p in network.parameters()) - head
    others = [p for name, p in network.named_parameters() if ".experts." in name and ".experts.0." not in name]
    active = stored - sum(p.numel() for p in others)
    assert (stored, active) == (109_565_184 + gates, 66_987_264 + gates)
    assert (after.student.params() - head, after.student.active_params() - head) == (stored, active)
    per_token = [4 * 768 * 768 + 2 * 768 * layer.ffn for layer in (BERT.layers[0], after.student.layers[0])]
    assert per_token == [7_077_888, 3_538_944]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("common", [0.0, 0.4, 1.0])
def test_one_whole_expert_is_the_dense_network(models: Models, tmp_path: Path, routing: str, common: float) -> None:
    """Up to rounding: its neurons stand in another order."""
    batch = next(scoring_batches(rows(models, tmp_path), 16))
    made = converted(models, tmp_path, ToExperts(experts=1, width=1.0, common=common, routing=routing))
    dense, whole = build(models["teacher"]), build(made["student"])
    torch.testing.assert_close(whole(batch).logits, dense(batch).logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(whole.double()(batch).logits, dense.double()(batch).logits, atol=1e-12, rtol=0)


def test_experts_with_everything_in_common_do_not_depend_on_the_hash(models: Models, tmp_path: Path) -> None:
    batch = next(scoring_batches(rows(models, tmp_path), 16))
    made = converted(models, tmp_path, ToExperts(experts=3, width=1.0, common=1.0))["student"]
    expected = build(models["teacher"])(batch).logits
    network = build(made)
    for offset in range(3):
        for layer in network.layers:
            layer.ffn.route.copy_((layer.ffn.route + offset) % 3)
        torch.testing.assert_close(network(batch).logits, expected, atol=1e-6, rtol=1e-5)


def by_definition(models: Models, batch: Batch) -> torch.Tensor:
    """Importance of the first layer's neurons, sample by sample, from the gradients of the weights."""
    network = build(models["teacher"])
    up, down = network.layers[0].ffn.up.weight, network.layers[0].ffn.down.weight
    total = torch.zeros(up.shape[0])
    for i in range(len(batch)):
        alone = Batch(
            batch.ids[i : i + 1], batch.types[i : i + 1], batch.mask[i : i + 1], batch.labels[i : i + 1], batch.rows[:1]
        )
        first, second = torch.autograd.grad(task_loss(network(alone).logits, alone), (up, down))
        total += ((up * first).sum(1) + (down * second).sum(0)).detach().abs()
    return total


def test_importance_is_its_definition(models: Models, tmp_path: Path) -> None:
    table = rows(models, tmp_path)
    expected = by_definition(models, collate(table, torch.arange(len(table))))
    for batch_size in (7, 16):
        ctx = tiny_context(tmp_path, tiny_task(), STAGE, folder=f"of{batch_size}")
        found = neuron_importance(models["teacher"], ctx, batch_size)
        torch.testing.assert_close(found[0] / expected.max(), expected / expected.max(), atol=1e-5, rtol=1e-4)


def test_importance_without_biases_in_closed_form(models: Models, tmp_path: Path) -> None:
    """Of a network that is homogeneous in its neurons' weights both products are ``h_j <w2_j, dL/dy>``."""
    teacher = models["teacher"]
    weights = {n: torch.zeros_like(v) if n.endswith("ffn.up.bias") else v for n, v in teacher.weights.items()}
    source = encoder_of(replace(shape_of(teacher), activation="relu"), weights, teacher.tokenizer)
    table, network = rows(models, tmp_path), build(source)
    read, made = [], []
    ffn = network.layers[0].ffn
    ffn.down.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0].detach()))
    ffn.down.register_forward_hook(lambda module, inputs, output: made.append(output))
    signed = []
    for i in range(len(table)):
        alone = collate(table, torch.tensor([i]))
        (slope,) = torch.autograd.grad(task_loss(network(alone).logits, alone), made[-1])
        signed.append(2 * (read[-1] * (slope @ ffn.down.weight)).sum((0, 1)).detach())
    found = neuron_importance(source, tiny_context(tmp_path, tiny_task(), STAGE), 16)[0]
    expected = torch.stack(signed).abs().sum(0)
    torch.testing.assert_close(found / expected.max(), expected / expected.max(), atol=1e-5, rtol=1e-4)
    assert float(found.sum()) > 5 * float(torch.stack(signed).sum(0).abs().sum())  # rows do not cancel each other


def test_importance_of_a_silent_neuron_is_zero(models: Models, tmp_path: Path) -> None:
    teacher = models["teacher"]
    weights = {name: value.clone() for name, value in teacher.weights.items()}
    weights["layers.1.ffn.up.weight"][5] = 0
    weights["layers.1.ffn.down.weight"][:, 5] = 0
    found = neuron_importance(replace(teacher, weights=weights), tiny_context(tmp_path, tiny_task(), STAGE), 16)
    assert float(found[1][5]) == 0.0
    assert int((torch.cat(found) == 0).sum()) == 1


def test_experts_hold_the_most_important_neurons(models: Models, tmp_path: Path) -> None:
    method = ToExperts(experts=2, width=0.5, common=0.5)
    made = converted(models, tmp_path, method)["student"]
    found = neuron_importance(models["teacher"], tiny_context(tmp_path, tiny_task(), "x", folder="again"), 16)
    best = torch.argsort(found[0], descending=True, stable=True)
    dense = models["teacher"].weights["layers.0.ffn.up.weight"]
    for e in range(2):
        held = made.weights[f"layers.0.ffn.experts.{e}.up.weight"]
        torch.testing.assert_close(held[:8], dense[best[:8]])
        torch.testing.assert_close(held[8:], dense[best[8 + e :: 2][:8]])
    shape = shape_of(made)
    assert (shape.layers[0].ffn, shape.layers[0].ffn_copies) == (16, 2)


def test_they_train_and_keep_their_routes(models: Models, tmp_path: Path) -> None:
    made = converted(models, tmp_path, ToExperts(experts=2, width=0.5))
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil", folder="distil")
    after = Distil(epochs=1, batch_size=8).run(made, ctx)["student"]
    routes = {name for name in after.weights if name.endswith("route")}
    kept = {name for name, value in made["student"].weights.items() if torch.equal(after.weights[name], value)}
    # The last layer's experts that [CLS] does not visit have no part in the logits.
    assert routes <= kept
    assert {name for name in kept - routes if not name.startswith("layers.1.ffn.experts.")} == set()
    first = int(after.weights["layers.1.ffn.route"][_CLS])
    assert {name for name in kept if name.startswith(f"layers.1.ffn.experts.{first}.")} == set()


def test_a_student_of_fewer_layers_can_be_converted() -> None:
    sizes = Sizes(10, 64.0, BERT, BERT.with_layers(BERT.layers[:3]))
    cost, after = ToExperts(of="student").cost(sizes)
    assert after.student is not None
    assert after.student.depth == 3
    assert cost.macs == pytest.approx(20 * BERT.with_layers(BERT.layers[:3]).macs(64.0))
    assert ToExperts(of="student").facts.needs == {"student"}
    assert "hash_routed" in ToExperts().facts.gives
    assert {"gated"} == ToExperts(routing="gate_token").facts.gives - ToExperts().facts.gives


def test_experts_cannot_be_split_again(models: Models, tmp_path: Path) -> None:
    made = converted(models, tmp_path, ToExperts(experts=2, width=0.5))
    with pytest.raises(SpecError, match="dense feed-forward networks; layer 0 has moebert:HashExperts"):
        converted(made, tmp_path, ToExperts(of="student"), "again")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"experts": 0}, "experts must be a whole number from 1 to 256"),
        ({"experts": 300}, "experts must be a whole number from 1 to 256"),
        ({"width": 1.5}, "width must be a number"),
        ({"common": -1}, "common must be a number"),
        ({"of": "teacher"}, "of must be one of"),
        ({"routing": "learnt"}, "routing must be one of hash, balanced_hash, gate_token, gate_sentence"),
        ({"experts": 4, "width": 0.5, "common": 0.0}, "deals out each neuron once"),
    ],
)
def test_fields_are_checked(fields, message) -> None:
    with pytest.raises(SpecError, match=message):
        ToExperts(**fields)


@pytest.mark.parametrize("dense", [1536, 3072, 100, 37])
@pytest.mark.parametrize("experts", [1, 2, 3, 4, 7])
def test_every_width_up_to_an_even_split_is_possible(dense: int, experts: int) -> None:
    sizes = Sizes(10, 8.0, EncoderShape(20, 16, 8, (LayerShape(1, 8, dense),), labels=2))
    for common in (0.0, 0.3, 2 / 3, 1.0):
        _, after = ToExperts(experts=experts, width=1 / experts, common=common).cost(sizes)
        assert after.student is not None
        width = after.student.layers[0].ffn
        assert width == math.floor(dense / experts + 1e-9)
        assert all(len(part) == width for part in deal(torch.arange(dense), experts, width, round(width * common)))
