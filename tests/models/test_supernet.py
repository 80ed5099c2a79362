"""Supernets: a sub-network taken out computes what it computed inside, and its gradients reach what it is made of."""

from __future__ import annotations

import pytest
import torch

from autokd.contracts import Slot, Wants
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.models.elastic import shape_of
from autokd.models.slots import build, load_slot, save_slot
from autokd.models.subspaces import Architecture, Subspace
from autokd.models.supernet import Supernet, extract, supernet_from
from autokd.models.tiny import tiny_slot
from tests.models.lively import lively, padded_batch

SPACE = Subspace((1, 2, 3), (1, 2, 4), (5, 8, 12), (1.0, 2.0))
WHOLE = Subspace((3,), (4,), (16,), (2.0,))
BATCH = padded_batch()


@pytest.fixture(scope="module")
def teacher() -> Slot:
    return lively(tiny_slot(depth=3))


def made(teacher: Slot, space: Subspace = SPACE) -> Slot:
    return supernet_from(teacher, shape_of(teacher), space)


def module(slot: Slot) -> Supernet:
    found = build(slot)
    assert isinstance(found, Supernet)
    return found


@pytest.mark.parametrize("architecture", SPACE.architectures())
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_extracted_equals_sliced(teacher: Slot, architecture: Architecture, dtype: torch.dtype, atol: float) -> None:
    slot = made(teacher)
    inside = module(slot).to(dtype).member(architecture)(BATCH, Wants(frozenset({0, 1}), attention=True))
    student = extract(slot, architecture)
    alone = build(student).to(dtype)(BATCH, Wants(frozenset({0, 1}), attention=True))
    for ours, theirs in (
        (inside.logits, alone.logits),
        (inside.hidden[1], alone.hidden[1]),
        *zip(inside.attention[-1], alone.attention[-1], strict=True),
    ):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=atol)
    shape = shape_of(student)
    assert (shape.depth, shape.hidden, shape.layers[0].heads, shape.layers[0].ffn) == (
        architecture.layers,
        architecture.hidden,
        architecture.heads,
        architecture.ffn,
    )
    assert sum(value.numel() for value in student.weights.values()) == shape.params()
    assert all(value.is_contiguous() for value in student.weights.values())


def test_the_whole_teacher_as_a_sub_network_is_the_teacher(teacher: Slot) -> None:
    network = module(made(teacher, WHOLE))
    assert torch.equal(network(BATCH).logits, build(teacher)(BATCH).logits)
    assert extract(made(teacher, WHOLE), WHOLE.largest).content == teacher.content


def test_a_supernet_holds_what_its_sub_networks_use_and_no_more(teacher: Slot) -> None:
    network, used = module(made(teacher)), dict[str, torch.Tensor]()
    for architecture in SPACE.architectures():
        network.zero_grad()
        sum(value.sum() for value in network.weights(architecture).values()).backward()  # type: ignore[union-attr]
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                used.setdefault(name, torch.zeros_like(parameter, dtype=torch.bool)).logical_or_(parameter.grad != 0)
    assert used.keys() == dict(network.named_parameters()).keys()
    assert all(bool(places.all()) for places in used.values())


def test_gradients_reach_a_sub_networks_own_part_alone(teacher: Slot) -> None:
    network = module(made(teacher))
    network.member(Architecture(2, 2, 8, 10))(BATCH).logits.square().sum().backward()
    up = network.encoder.layers[0].ffn.up.weight.grad
    assert up is not None
    assert bool((up[:10, :8] != 0).all())
    assert not bool(up[10:].any())
    assert not bool(up[:, 8:].any())
    assert network.encoder.layers[2].ffn.up.weight.grad is None  # of three layers, two are the first two
    words = network.encoder.embeddings.word.weight.grad
    assert set(words.abs().sum(1).nonzero().flatten().tolist()) == set(BATCH.ids[BATCH.mask == 1].tolist())


def test_slices_are_those_of_the_present_weights(teacher: Slot) -> None:
    network = module(made(teacher))
    member = network.member(SPACE.smallest)
    with torch.no_grad():
        before = member(BATCH).logits
        network.encoder.classifier.bias.add_(1.0)
        torch.testing.assert_close(member(BATCH).logits, before + 1.0)
    member(BATCH).logits.sum().backward()
    assert network.encoder.classifier.bias.grad is not None  # nothing made without gradients was kept


def test_a_trimmed_vocabulary_changes_nothing(teacher: Slot) -> None:
    network = module(made(teacher))
    member, whole = network.member(SPACE.smallest), Architecture(3, 4, 12, 24)
    before = member(BATCH).logits, network.member(whole)(BATCH).logits
    (before[0].sum() + before[1].sum()).backward()
    dense = network.encoder.embeddings.word.weight.grad.clone()
    words = network.encoder.embeddings.word
    words.trim(BATCH.ids)
    after = member(BATCH).logits, network.member(whole)(BATCH).logits
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    after[0].sum().backward()
    after[1].sum().backward()
    assert words.weight.grad.is_sparse
    torch.testing.assert_close(words.weight.grad.to_dense(), dense[torch.unique(BATCH.ids)])


def test_a_supernet_is_saved_and_loaded(teacher: Slot, tmp_path) -> None:
    slot = made(teacher)
    save_slot(slot, tmp_path / "net")
    again = load_slot(tmp_path / "net")
    assert again.content == slot.content
    assert module(again).subspace == SPACE
    assert extract(again, SPACE.smallest).content == extract(slot, SPACE.smallest).content
    assert slot.config["learnt_from"] == teacher.content


@pytest.mark.parametrize("changes", [{"family": "roberta"}, {"family": "electra", "embedding": 6}])
def test_other_families_have_supernets_too(changes: dict[str, object]) -> None:
    slot = made(lively(tiny_slot(depth=3, **changes)))
    inside, student = module(slot).member(SPACE.smallest)(BATCH), extract(slot, SPACE.smallest)
    torch.testing.assert_close(inside.logits, build(student)(BATCH).logits, atol=1e-5, rtol=1e-5)
    assert EncoderShape.from_json(student.config).family == changes["family"]


def test_what_does_not_lie_in_a_supernet_is_refused(teacher: Slot) -> None:
    with pytest.raises(SpecError, match="nowhere larger"):
        module(made(teacher)).member(Architecture(3, 4, 13, 24))
    with pytest.raises(SpecError, match="lie in supernets"):
        extract(teacher, SPACE.smallest)
