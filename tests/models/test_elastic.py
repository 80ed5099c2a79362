"""Cutting layers, heads and neurons: a cut network equals the whole one with those units masked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.contracts import Batch, Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.elastic import (
    keep_units,
    lowest,
    matrices_of,
    shape_of,
    spread,
    take_layers,
    unit_masks,
    without_units,
    without_weights,
)
from autokd.models.slots import build, content_of
from autokd.models.tiny import tiny_slot
from tests.models.lively import lively, padded_batch


@pytest.fixture
def slot() -> Slot:
    return lively(tiny_slot(depth=3))


@pytest.fixture
def batch() -> Batch:
    return padded_batch()


@pytest.mark.parametrize(
    ("keep", "depth", "take", "layers"),
    [
        (6, 12, "even", (0, 2, 4, 7, 9, 11)),
        (4, 12, "even", (0, 4, 7, 11)),
        (3, 6, "even", (0, 3, 5)),
        (2, 6, "even", (0, 5)),
        (1, 6, "even", (0,)),
        (6, 6, "even", (0, 1, 2, 3, 4, 5)),
        (4, 12, "first", (0, 1, 2, 3)),
        (2, 6, "last", (4, 5)),
        (1, 1, "last", (0,)),
    ],
)
def test_spread(keep, depth, take, layers) -> None:
    assert spread(keep, depth, take) == layers


@settings(deadline=None)
@given(depth=st.integers(1, 48), data=st.data())
def test_spread_never_takes_a_layer_twice(depth: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, depth))
    for take in ("even", "first", "last"):
        layers = spread(keep, depth, take)
        assert len(set(layers)) == keep
        assert list(layers) == sorted(layers)
        assert 0 <= layers[0] <= layers[-1] < depth


def test_more_layers_than_there_are_is_an_error(slot: Slot) -> None:
    with pytest.raises(SpecError, match="at most 3 layers can be kept of 3, but got 4"):
        spread(4, shape_of(slot).depth, "even")


def test_taking_layers(slot: Slot, batch: Batch) -> None:
    whole = take_layers(slot, (0, 1, 2))
    assert whole.content == slot.content
    two = take_layers(slot, (0, 2))
    assert shape_of(two).depth == 2
    network, cut = build(slot), build(two)
    network.layers = torch.nn.ModuleList([network.layers[0], network.layers[2]])
    assert torch.equal(network(batch).logits, cut(batch).logits)


def masks(
    slot: Slot, heads: list[list[int]], neurons: list[list[int]]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Masks of ones with zeros at the given heads and neurons."""
    ones = unit_masks(shape_of(slot), torch.device("cpu"))
    for values, places in zip(ones, (heads, neurons), strict=True):
        for value, place in zip(values, places, strict=True):
            value.requires_grad_(False)
            value[place] = 0
    return ones


@pytest.mark.parametrize(
    ("heads", "neurons"),
    [
        ([[], [], []], [[], [], []]),
        ([[0], [1, 3], []], [[0, 5, 31], [], list(range(20))]),
        ([[0, 1, 2, 3], [], [2]], [list(range(32)), [3], []]),
    ],
)
def test_a_cut_network_equals_the_masked_one(slot: Slot, batch: Batch, heads, neurons) -> None:
    head_masks, neuron_masks = masks(slot, heads, neurons)
    masked = build(slot)(batch, head_masks=head_masks, neuron_masks=neuron_masks).logits
    cut = keep_units(slot, [m > 0 for m in head_masks], [m > 0 for m in neuron_masks])
    torch.testing.assert_close(build(cut)(batch).logits, masked, atol=1e-5, rtol=1e-5)
    layers = shape_of(cut).layers
    assert [layer.heads for layer in layers] == [4 - len(part) for part in heads]
    assert [layer.ffn for layer in layers] == [32 - len(part) for part in neurons]
    if not any(heads) and not any(neurons):
        assert cut.content == slot.content


def test_a_mask_gradient_is_activation_times_gradient(slot: Slot, batch: Batch) -> None:
    network = build(slot)
    head_masks, neuron_masks = unit_masks(shape_of(slot), torch.device("cpu"))
    active: list[torch.Tensor] = []
    for part in (network.layers[1].ffn.down, network.layers[1].attention.output):
        part.register_forward_pre_hook(lambda module, inputs: active.append(inputs[0]))
    logits = network(batch, head_masks=head_masks, neuron_masks=neuron_masks).logits
    context, neurons = active  # in the order of the forward pass
    loss = (logits * torch.tensor([1.0, -2.0])).sum()
    by_head, by_neuron, d_context, d_neurons = torch.autograd.grad(
        loss, [head_masks[1], neuron_masks[1], context, neurons]
    )
    torch.testing.assert_close(by_neuron, (neurons * d_neurons).sum((0, 1)), atol=1e-4, rtol=1e-4)
    per_head = (context * d_context).unflatten(2, (4, -1)).sum((0, 1, 3))
    torch.testing.assert_close(by_head, per_head, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits, network(batch).logits)


def test_weights_are_zeroed_where_they_stand(slot: Slot) -> None:
    names = matrices_of(shape_of(slot))
    assert names[2][:2] == ["layers.2.attention.query.weight", "layers.2.attention.key.weight"]
    n = sum(slot.weights[name].numel() for name in names[0])
    cut = [torch.zeros(n, dtype=torch.bool) for _ in range(3)]
    assert without_weights(slot, cut).content == slot.content
    cut[1][0] = cut[1][-1] = True
    made = without_weights(slot, cut)
    changed = {name: (made.weights[name] != slot.weights[name]).nonzero().tolist() for name in slot.weights}
    last = [[side - 1 for side in slot.weights["layers.1.ffn.down.weight"].shape]]
    assert {name: places for name, places in changed.items() if places} == {
        "layers.1.attention.query.weight": [[0, 0]],
        "layers.1.ffn.down.weight": last,
    }
    assert float(made.weights["layers.1.attention.query.weight"][0, 0]) == 0.0


def test_slots_are_not_written_to(slot: Slot) -> None:
    keep_units(slot, [torch.tensor([True, False, True, True])] * 3, [torch.arange(32) % 2 == 0] * 3)
    take_layers(slot, (1,))
    without_weights(
        slot,
        [
            torch.ones(sum(slot.weights[n].numel() for n in layer), dtype=torch.bool)
            for layer in matrices_of(shape_of(slot))
        ],
    )
    assert content_of(slot.builder, slot.config, slot.weights) == slot.content


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=4),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
)
def test_lowest_is_exact_and_nested_with_ties(values: list[list[int]], low: float, high: float) -> None:
    scores = [torch.tensor(part, dtype=torch.float32) for part in values]
    n = sum(len(part) for part in values)
    few, many = (torch.cat(lowest(scores, share)) for share in sorted((low, high)))
    assert (int(few.sum()), int(many.sum())) == (round(min(low, high) * n), round(max(low, high) * n))
    assert bool((few <= many).all())
    flat = torch.cat(scores)
    if 0 < int(many.sum()) < n:
        assert float(flat[many].max()) <= float(flat[~many].min())


def test_without_units_has_exact_totals() -> None:
    shape = EncoderShape(100, 64, 24, (LayerShape(6, 4, 96), LayerShape(4, 4, 50), LayerShape(0, 4, 0)), labels=2)
    for share in (0.0, 0.13, 0.5, 0.77, 0.99):
        cut = without_units(shape, share)
        assert sum(layer.heads for layer in cut.layers) == 10 - round(share * 10)
        assert sum(layer.ffn for layer in cut.layers) == 146 - round(share * 146)
        assert all(a.heads <= b.heads and a.ffn <= b.ffn for a, b in zip(cut.layers, shape.layers, strict=True))


def test_other_networks_are_refused(slot: Slot) -> None:
    other = Slot("somewhere:Else", slot.config, slot.weights, slot.content)
    with pytest.raises(SpecError, match="only encoders have layers"):
        shape_of(other)


@pytest.mark.parametrize("kind", ["random", "sorted", "striped", "few", "equal"])
def test_lowest_is_exact_among_many_values(kind: str) -> None:
    """Also where a sample misleads: it may only cost time."""
    n = 200_000
    values = torch.rand(n, generator=torch.Generator().manual_seed(0)) ** 6
    if kind == "sorted":
        values = values.sort().values
    elif kind == "striped":
        values[::61] += 1
    elif kind == "few":
        values = (values * 5).round()
    elif kind == "equal":
        values = torch.full((n,), 0.25)
    for share in (0.00001, 0.1, 0.37, 0.9, 0.99999):
        chosen = lowest([values[:1000], values[1000:]], share)
        order = torch.argsort(values, stable=True)[: round(share * n)]
        expected = torch.zeros(n, dtype=torch.bool).index_fill(0, order, True)
        assert torch.equal(torch.cat(chosen), expected)
