"""Slicing encoders in every dimension, by leading parts and by lists of places."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.elastic import cut, encoder_of, shape_of
from autokd.models.slicing import Kept, everything, leading, sliced, sliced_shape
from autokd.models.slots import build, content_of
from autokd.models.tiny import tiny_slot
from tests.models.lively import lively, padded_batch

PLACES = Kept(layers=(0, 2), hidden=(1, 2, 5, 9, 14), heads=((0, 3), (1, 2, 3)), neurons=((4, 7, 31), (0, 1)))
BATCH = padded_batch()


@pytest.fixture
def slot() -> Slot:
    return lively(tiny_slot(depth=3))


def permuted(slot: Slot, kept: Kept) -> Slot:
    """The same layers with what is kept in front: heads and neurons do the same there, hidden channels likewise."""
    shape = shape_of(slot)

    def front(places: object, size: int) -> list[int]:
        chosen = list(places)  # type: ignore[call-overload]
        return [*chosen, *(i for i in range(size) if i not in chosen)]

    layers = [shape.layers[i] for i in kept.layers]
    heads = [front(places, layer.heads) for places, layer in zip(kept.heads, layers, strict=True)]
    neurons = [front(places, layer.ffn) for places, layer in zip(kept.neurons, layers, strict=True)]
    return cut(slot, Kept(kept.layers, front(kept.hidden, shape.hidden), heads, neurons))


def test_places_are_the_leading_parts_of_the_permuted_network(slot: Slot) -> None:
    moved, part = permuted(slot, PLACES), cut(slot, PLACES)
    in_front = Kept(range(2), range(5), (range(2), range(3)), (range(3), range(2)))
    assert part.content == cut(moved, in_front).content
    whole = cut(slot, everything(shape_of(slot), PLACES.layers))
    torch.testing.assert_close(build(moved)(BATCH).logits, build(whole)(BATCH).logits, atol=1e-5, rtol=1e-5)


def test_what_is_cut_has_the_shape_that_it_says(slot: Slot) -> None:
    part = cut(slot, PLACES)
    shape = shape_of(part)
    assert shape == sliced_shape(shape_of(slot), PLACES)
    assert (shape.hidden, [(layer.heads, layer.ffn) for layer in shape.layers]) == (5, [(2, 3), (3, 2)])
    assert sum(value.numel() for value in part.weights.values()) == shape.params()
    assert build(part)(BATCH).logits.shape == (4, 2)


def test_each_weight_is_the_right_part_of_the_whole(slot: Slot) -> None:
    found, hidden = sliced(slot.weights, shape_of(slot), PLACES), list(PLACES.hidden)
    inner = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]  # heads 1, 2 and 3 of four channels
    query, down = slot.weights["layers.2.attention.query.weight"], slot.weights["layers.2.ffn.down.weight"]
    assert torch.equal(found["layers.1.attention.query.weight"], query[inner][:, hidden])
    assert torch.equal(found["layers.1.ffn.down.weight"], down[hidden][:, [0, 1]])
    assert torch.equal(found["embeddings.norm.bias"], slot.weights["embeddings.norm.bias"][hidden])
    assert torch.equal(found["pooler.weight"], slot.weights["pooler.weight"][hidden][:, hidden])
    assert torch.equal(found["classifier.weight"], slot.weights["classifier.weight"][:, hidden])
    assert not any(name.startswith("layers.2") for name in found)


def test_a_hidden_state_that_is_cut_is_not_one_that_is_masked(slot: Slot) -> None:
    """LayerNorm's mean and variance are those of the channels that are left."""
    masked = {
        name: value.clone().index_fill_(0, torch.arange(8, 16), 0.0)
        for name, value in slot.weights.items()
        if name.endswith("norm.weight") or name.endswith("norm.bias")
    }
    shape = shape_of(slot)
    other = encoder_of(shape, {**slot.weights, **masked}, "")
    small = cut(slot, replace(everything(shape), hidden=range(8)))
    assert (build(other)(BATCH).logits - build(small)(BATCH).logits).abs().max() > 0.1


def test_leading_parts_share_memory_and_pass_gradients_on(slot: Slot) -> None:
    network, shape = build(slot), shape_of(slot)
    part = replace(shape, hidden=8, layers=(LayerShape(2, 4, 10),) * 2)
    found = sliced(dict(network.named_parameters()), shape, leading(shape, part, (0, 2)))
    up = network.layers[2].ffn.up.weight
    assert found["layers.1.ffn.up.weight"].data_ptr() == up.data_ptr()
    found["layers.1.ffn.up.weight"].sum().backward()
    assert up.grad is not None
    assert up.grad.sum() == 80
    assert up.grad[:10, :8].min() == 1


def test_slots_are_not_written_to(slot: Slot) -> None:
    cut(slot, PLACES).weights["pooler.bias"].add_(1)
    assert content_of(slot.builder, slot.config, slot.weights) == slot.content


def test_projected_embeddings_stay_whole() -> None:
    slot = lively(tiny_slot(family="electra", embedding=6))
    part = cut(slot, replace(everything(shape_of(slot)), hidden=range(9)))
    assert (shape_of(part).embedding, shape_of(part).hidden) == (6, 9)
    assert part.weights["embeddings.projection.weight"].shape == (9, 6)
    assert build(part)(BATCH).logits.shape == (4, 2)
    with pytest.raises(SpecError, match="both would be 6"):
        cut(slot, replace(everything(shape_of(slot)), hidden=range(6)))


def test_larger_networks_do_not_lie_in_smaller_ones(slot: Slot) -> None:
    shape = shape_of(slot)
    for wrong in (
        replace(shape, hidden=17),
        replace(shape, layers=(LayerShape(5, 4, 32),) * 3),
        replace(shape, layers=(LayerShape(4, 4, 33),) * 3),
        replace(shape, layers=(LayerShape(4, 3, 32),) * 3),
    ):
        with pytest.raises(SpecError, match="nowhere larger"):
            leading(shape, wrong, range(3))
    with pytest.raises(SpecError, match="2 layers for 3"):
        leading(shape, shape.with_layers(shape.layers[:2]), range(3))


def test_experts_are_taken_whole_or_not_at_all() -> None:
    layer = LayerShape(2, 4, 8, 2, "moebert:HashExperts", {"experts": 2})
    shape = EncoderShape(50, 16, 8, (layer,) * 2, 2)
    assert sliced_shape(shape, everything(shape, (1,))).layers == (layer,)
    with pytest.raises(SpecError, match="layer 1 has moebert"):
        sliced_shape(shape, replace(everything(shape, (1,)), neurons=(range(4),)))
