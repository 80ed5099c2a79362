"""Which expert a token passes, by hash or gate, and that it passes that one alone, at the cost of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from autokd.contracts import Batch, Models, Outputs, Wants
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.batches import collate, scoring_batches
from autokd.engine.dropout import StreamDropout
from autokd.measure.cost import count_parameters, counted_macs
from autokd.methods.basics.pruning import encoder_weights, n_encoder_weights
from autokd.methods.moebert import HashExperts, ToExperts
from autokd.methods.moebert.routes import balanced_route, random_route
from autokd.methods.moebert.stage import ROUTINGS
from autokd.models.elastic import shape_of
from autokd.models.encoder import Encoder
from autokd.models.linear import initialise
from autokd.models.slots import build, load_slot, save_slot
from autokd.models.tiny import tiny_shape
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_task
from tests.methods.moebert_parts import EXPERTS, TEACHER, converted, dealt, one_layer, rows


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER,), tiny_task(), tmp_path_factory.mktemp("routing"))


def choice(network: torch.nn.Module, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Each token's expert and the factor of its output, [batch, length] each, as the definitions say it."""
    if isinstance(network, HashExperts):
        return network.route[ids].long(), torch.ones(ids.shape)
    read = hidden if network.__class__.__name__.startswith("Token") else hidden.mean(1, keepdim=True)
    shares = torch.softmax(read @ network.gate.weight.t(), dim=-1).expand(*ids.shape, -1)
    return shares.argmax(-1), shares.amax(-1)


@pytest.mark.parametrize("routing", ["hash", "gate_token", "gate_sentence"])
def test_each_token_passes_the_dense_network_without_the_other_neurons(routing: str) -> None:
    experts, dense, hidden, tokens = one_layer(routing)
    found = experts(hidden, tokens)
    chosen, factor = choice(experts, hidden, tokens.ids)
    assert len(set(chosen.flatten().tolist())) > 1
    for e, neurons in enumerate(dealt()):
        mask = torch.zeros(12)
        mask[neurons] = 1
        alone = dense(hidden, replace(tokens, neuron_mask=mask)) * factor.unsqueeze(-1)
        torch.testing.assert_close(found[chosen == e], alone[chosen == e], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("routing", ["hash", "gate_token", "gate_sentence"])
def test_dispatch_equals_a_loop_over_tokens(routing: str) -> None:
    experts, _, hidden, tokens = one_layer(routing)
    chosen, factor = choice(experts, hidden, tokens.ids)
    expected = torch.empty_like(hidden)
    for b in range(4):
        for t in range(5):
            alone = experts.experts[int(chosen[b, t])](hidden[b : b + 1, t : t + 1], tokens)
            expected[b, t] = alone[0, 0] * factor[b, t]
    torch.testing.assert_close(experts(hidden, tokens), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("routing", ["hash", "gate_token", "gate_sentence"])
def test_routing_knows_neither_position_nor_company(routing: str) -> None:
    experts, _, hidden, tokens = one_layer(routing)
    found = experts(hidden, tokens)
    order = torch.tensor([2, 0, 3, 1])
    moved = experts(hidden[order], replace(tokens, ids=tokens.ids[order], mask=tokens.mask[order]))
    torch.testing.assert_close(moved, found[order])
    turned = experts(hidden.flip(1), replace(tokens, ids=tokens.ids.flip(1), mask=tokens.mask.flip(1)))
    torch.testing.assert_close(turned, found.flip(1))


def test_gradients_reach_only_the_experts_that_were_used() -> None:
    experts, _, hidden, tokens = one_layer("hash")
    experts.route.fill_(1)
    experts(hidden, replace(tokens, dropout=StreamDropout(0, torch.device("cpu")), dropout_rate=0.1)).sum().backward()
    used = [float(part.norm.bias.grad.abs().sum()) > 0 for part in experts.experts]
    assert used == [False, True, False]


@pytest.mark.parametrize("routing", ["gate_token", "gate_sentence"])
def test_a_gate_learns_from_the_factor(routing: str) -> None:
    experts, _, hidden, tokens = one_layer(routing)
    experts(hidden, tokens).square().sum().backward()
    assert float(experts.gate.weight.grad.abs().min()) > 0


def encoder_with(routing: str, width: int = 8) -> tuple[Encoder, EncoderShape]:
    """A random encoder with large weights, whose experts' gates tell tokens and rows apart."""
    layer = LayerShape(4, 4, width, EXPERTS, ROUTINGS[routing].use, gate=ROUTINGS[routing].gate)
    shape = tiny_shape(layers=(layer, layer))
    encoder = Encoder(shape).eval()
    initialise(encoder, 0)
    for parameter in encoder.parameters():
        parameter.data.mul_(20 if parameter.dim() > 1 else 1)
    return encoder, shape


def texts(*lengths: int) -> Batch:
    """Rows of random token ids, padded with zeros to the longest."""
    draw = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 100, mask.shape, generator=draw) * mask
    return Batch(ids, torch.zeros_like(ids), mask, torch.zeros(len(lengths)).long(), torch.arange(len(lengths)))


def seen(encoder: Encoder, batch: Batch) -> Outputs:
    with torch.no_grad():
        return encoder(batch, Wants(gates=True))


def tell_apart(encoder: Encoder, batch: Batch) -> None:
    """Turn the gates, layer by layer, so that they see what differs in what they read and not what is common to all."""
    for layer in encoder.layers:
        read: list[Tensor] = []
        handle = layer.ffn.gate.register_forward_pre_hook(lambda module, inputs, read=read: read.append(inputs[0]))
        seen(encoder, batch)
        handle.remove()
        common = read[0].flatten(0, -2).mean(0)
        weight = layer.ffn.gate.weight.data
        weight -= torch.outer(weight @ common, common) / common.square().sum()


@pytest.mark.parametrize("routing", ["gate_token", "gate_sentence"])
def test_a_row_alone_is_what_it_is_in_a_batch_with_padding(routing: str) -> None:
    encoder, _ = encoder_with(routing)
    batch = texts(9, 3, 1, 6, 7)
    tell_apart(encoder, batch)
    together = seen(encoder, batch)
    chosen = [shares.argmax(-1)[batch.mask.bool() if routing == "gate_token" else ...] for shares in together.gates]
    assert all(len(set(experts.tolist())) > 1 for experts in chosen)
    for i in range(len(batch)):
        n = int(batch.mask[i].sum())
        row = Batch(
            *(part[i : i + 1, :n] for part in (batch.ids, batch.types, batch.mask)), batch.labels[:1], batch.rows[:1]
        )
        torch.testing.assert_close(seen(encoder, row).logits, together.logits[i : i + 1], atol=1e-4, rtol=1e-4)
    # What stands at padding plays no part.
    other = replace(batch, ids=torch.where(batch.mask.bool(), batch.ids, torch.full_like(batch.ids, 77)))
    torch.testing.assert_close(seen(encoder, other).logits, together.logits, atol=1e-4, rtol=1e-4)


def test_gates_tell_their_probabilities_when_asked() -> None:
    batch = texts(4, 2)
    for routing, form in (("gate_token", (2, 4, EXPERTS)), ("gate_sentence", (2, EXPERTS))):
        encoder, _ = encoder_with(routing)
        found = seen(encoder, batch).gates
        assert [tuple(shares.shape) for shares in found] == [form, form]
        assert all(torch.allclose(shares.sum(-1), torch.ones(())) for shares in found)
        assert encoder(batch).gates == ()
    assert seen(encoder_with("hash")[0], batch).gates == ()


@pytest.mark.parametrize("routing", ["hash", "gate_token", "gate_sentence"])
def test_a_token_costs_what_one_expert_costs(routing: str) -> None:
    """Counted while it runs, beside the dense network with one expert's width, of which only the gate is more."""
    encoder, shape = encoder_with(routing)
    batch = texts(9, 9, 9, 9)
    narrow = tiny_shape(layers=(LayerShape(4, 4, 8),) * 2)
    gates = {"": 0, "token": 4 * 9, "row": 4}[shape.layers[0].gate] * 2 * 16 * EXPERTS
    assert counted_macs(encoder, batch) == counted_macs(Encoder(narrow), batch) + gates == 4 * shape.macs(9)
    assert count_parameters(encoder) == shape.params()
    assert sum(weight.numel() for weight in encoder_weights(encoder)) == n_encoder_weights(
        shape
    )  # gates are not pruned
    other_experts = 2 * (EXPERTS - 1) * count_parameters(encoder.layers[0].ffn.experts[0])
    assert shape.active_params() == shape.params() - other_experts


def test_routes_differ_by_layer_and_survive_a_folder(models: Models, tmp_path: Path) -> None:
    for routing in ("hash", "balanced_hash"):
        made = converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing=routing), routing)["student"]
        routes = [made.weights[f"layers.{i}.ffn.route"] for i in range(2)]
        assert not torch.equal(*routes)
        assert [sorted(set(route.tolist())) for route in routes] == [[0, 1], [0, 1]]
        save_slot(made, tmp_path / routing / "slot")
        batch = next(scoring_batches(rows(models, tmp_path), 16))
        again = load_slot(tmp_path / routing / "slot")
        assert again.content == made.content
        torch.testing.assert_close(build(again)(batch).logits, build(made)(batch).logits)


def test_a_hash_is_the_same_in_every_process(models: Models, tmp_path: Path) -> None:
    """These were printed by another one."""
    made = converted(models, tmp_path, ToExperts(experts=4, width=0.25))["student"]
    assert made.weights["layers.1.ffn.route"][:16].tolist() == [3, 1, 2, 1, 2, 1, 0, 0, 2, 1, 3, 2, 0, 0, 3, 3]
    made = converted(models, tmp_path, ToExperts(experts=4, width=0.25, routing="balanced_hash"), "balanced")["student"]
    assert made.weights["layers.1.ffn.route"][:16].tolist() == [3, 1, 3, 1, 2, 0, 0, 0, 2, 1, 3, 2, 0, 0, 3, 3]


def test_balanced_routes_by_hand() -> None:
    route = balanced_route(np.array([9, 4, 3, 3, 0]), 2, np.random.default_rng(0))
    assert int(route[0]) != int(route[1])  # 9 | 4, then both threes to the 4
    assert route[1] == route[2] == route[3]


@pytest.mark.parametrize("seed", range(5))
def test_balanced_experts_see_about_as_many_tokens(seed: int) -> None:
    draw = np.random.default_rng(seed)
    counts = np.sort((1000 / np.arange(1, 400) ** 1.1).astype(int))[draw.permutation(399)]
    route = balanced_route(counts, 4, draw).numpy()
    loads = np.bincount(route, counts, minlength=4)
    fullest = counts[(route == loads.argmax()) & (counts > 0)]
    assert loads.max() - loads.min() <= fullest.min()
    hashed = np.bincount(random_route(399, 4, draw).numpy(), counts, minlength=4)
    assert np.ptp(hashed) > 10 * np.ptp(loads)
    unseen = np.bincount(balanced_route(np.zeros(4000, int), 4, draw).numpy())
    assert np.ptp(unseen) < 200


def test_balance_is_that_of_the_training_rows(models: Models, tmp_path: Path) -> None:
    table = rows(models, tmp_path)
    made = converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing="balanced_hash"))["student"]
    for i in range(2):
        route = made.weights[f"layers.{i}.ffn.route"].long()
        loads = torch.bincount(route[table.ids], minlength=2)
        assert int(loads.max() - loads.min()) <= 2


def test_gates_of_layers_start_apart(models: Models, tmp_path: Path) -> None:
    made = converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing="gate_token"))["student"]
    gates = [made.weights[f"layers.{i}.ffn.gate.weight"] for i in range(2)]
    assert not torch.equal(*gates)
    assert all(0.01 < float(gate.std()) < 0.03 for gate in gates)
    assert [layer.gate for layer in shape_of(made).layers] == ["token", "token"]
    row = collate(rows(models, tmp_path), torch.tensor([0]))
    assert bool(torch.isfinite(build(made)(row).logits).all())
