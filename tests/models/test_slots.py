"""Networks as values: fresh copies, content hashes, and folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from autokd.contracts import Batch
from autokd.core.errors import SpecError, StorageError
from autokd.core.shape import LayerShape
from autokd.models.encoder import Encoder
from autokd.models.folders import atomic_folder
from autokd.models.slots import build, content_of, encoder_slot, load_slot, make_slot, save_slot
from autokd.models.tiny import tiny_slot


def test_a_slot_builds_fresh_copies_that_leave_it_as_it_was(batch: Batch) -> None:
    slot = tiny_slot(3)
    first, second = build(slot), build(slot)
    assert isinstance(first, Encoder)
    assert not first.training
    torch.testing.assert_close(first(batch).logits, second(batch).logits, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    assert content_of(slot.builder, slot.config, slot.weights) == slot.content
    assert not torch.allclose(first(batch).logits, second(batch).logits)


def test_a_slot_does_not_follow_the_module_it_was_made_from(encoder_of: Callable[..., Encoder]) -> None:
    encoder = encoder_of()
    slot = encoder_slot(encoder, "words")
    with torch.no_grad():
        encoder.classifier.bias.add_(1.0)
    assert encoder_slot(encoder).content != slot.content
    assert content_of(slot.builder, slot.config, slot.weights) == slot.content
    assert slot.tokenizer == "words"
    assert all(not value.requires_grad for value in slot.weights.values())


def test_content_is_a_hash_of_builder_configuration_and_weights() -> None:
    weights = {"a": torch.arange(4.0).view(2, 2), "b": torch.tensor([1, 2])}
    content = content_of("m:C", {"x": 1}, weights)
    assert content == "62de4f674b2a43993ab8"
    assert content_of("m:C", {"x": 1}, dict(reversed(weights.items()))) == content
    others = [
        content_of("m:D", {"x": 1}, weights),
        content_of("m:C", {"x": 2}, weights),
        content_of("m:C", {"x": 1}, {**weights, "a": torch.arange(4.0)}),
        content_of("m:C", {"x": 1}, {**weights, "b": torch.tensor([1, 3])}),
        content_of("m:C", {"x": 1}, {**weights, "b": torch.tensor([1, 2], dtype=torch.int32)}),
    ]
    assert len({content, *others}) == 6


def test_a_trimmed_network_is_no_slot(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of()
    encoder.embeddings.word.trim(batch.ids)
    with pytest.raises(SpecError, match=r"'embeddings\.word' is trimmed"):
        encoder_slot(encoder)


def test_a_builder_must_be_a_module_with_from_config() -> None:
    slot = make_slot(nn.LayerNorm(2), {}, builder="torch.nn:LayerNorm")
    with pytest.raises(SpecError, match=r"'torch\.nn:LayerNorm'"):
        build(slot)


def test_a_slot_survives_its_folder(tmp_path: Path, batch: Batch) -> None:
    slot = tiny_slot(1, layers=(LayerShape(2, 4, 8), LayerShape(0, 4, 0)))
    save_slot(slot, tmp_path / "deep" / "slot")
    again = load_slot(tmp_path / "deep" / "slot")
    assert again.content == slot.content
    assert dict(again.config) == dict(slot.config)
    torch.testing.assert_close(build(again)(batch).logits, build(slot)(batch).logits, rtol=0, atol=0)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["slot"]


def test_saving_again_replaces_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "slot"
    save_slot(tiny_slot(1), folder)
    (folder / "left over").write_text("of the first")
    save_slot(tiny_slot(2), folder)
    assert load_slot(folder).content == tiny_slot(2).content
    assert sorted(path.name for path in folder.iterdir()) == ["slot.json", "weights.safetensors"]


def test_a_broken_writer_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "slot"
    save_slot(tiny_slot(1), folder)

    def write_half() -> None:
        with atomic_folder(folder) as work:
            (work / "slot.json").write_text("{")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert load_slot(folder).content == tiny_slot(1).content
    assert [path.name for path in tmp_path.iterdir() if path.name != "here"] == ["slot"]


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "format"])
def test_a_folder_that_is_not_what_was_written_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "slot"
    save_slot(tiny_slot(1), folder)
    weights, told = folder / "weights.safetensors", folder / "slot.json"
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "other":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    else:
        told.write_text(json.dumps({**json.loads(told.read_text()), "format": 99}))
    with pytest.raises(StorageError, match=str(folder)):
        load_slot(folder)
