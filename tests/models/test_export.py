"""Checkpoints that others load: plain ones with transformers alone, others after one import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import autokd.auto
from autokd.contracts import Batch
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.export import is_plain, save_pretrained
from autokd.models.slots import build, encoder_slot, make_slot
from autokd.models.tiny import tiny_checkpoint, tiny_shape, tiny_slot

UNEVEN = (LayerShape(3, 4, 8), LayerShape(0, 4, 0))


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({}, True),
        ({"family": "roberta"}, True),
        ({"family": "electra", "embedding": 8}, True),
        ({"family": "distilbert", "token_types": 0}, True),
        ({"embedding": 16}, True),
        ({"embedding": 8}, False),
        ({"heads": 3}, False),
        ({"ffn": 0}, False),
        ({"depth": 0}, False),
        ({"token_types": 0}, False),
        ({"layers": (LayerShape(4, 4, 32), LayerShape(4, 4, 16))}, False),
        ({"layers": (LayerShape(4, 4, 32, ffn_copies=2, ffn_use="moebert:HashExperts"),)}, False),
        ({"family": "distilbert", "token_types": 0, "norm_eps": 1e-5}, False),
    ],
)
def test_which_shapes_transformers_can_build_alone(changes: dict[str, object], plain: bool) -> None:
    assert is_plain(tiny_shape(**changes)) is plain


@pytest.mark.parametrize("changes", [{}, {"layers": UNEVEN}, {"embedding": 8}])
def test_auto_classes_load_the_same_network_and_tokenizer(
    changes: dict[str, object],
    tmp_path: Path,
    tokenizer: Path,
    batch_of: Callable[..., Batch],
    inputs_of: Callable[[Batch], Mapping[str, Tensor]],
) -> None:
    slot = tiny_slot(0, tokenizer, labels=3, **changes)
    save_pretrained(slot, tmp_path / "out", ["blue", "green", "red"], "classification")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.id2label == {0: "blue", 1: "green", 2: "red"}
    assert model.config.label2id["red"] == 2
    batch = batch_of((6, 4), vocabulary=70)
    with torch.no_grad():
        found = model(**inputs_of(batch)).logits
        torch.testing.assert_close(found, build(slot)(batch).logits, atol=1e-6, rtol=0)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        assert model(**words(["the cat", "hello"], padding=True, return_tensors="pt")).logits.shape == (2, 3)


def test_regression_has_one_output_and_a_squared_loss(
    tmp_path: Path, tokenizer: Path, batch_of: Callable[..., Batch], inputs_of: Callable[[Batch], Mapping[str, Tensor]]
) -> None:
    save_pretrained(tiny_slot(0, tokenizer, labels=1, layers=UNEVEN), tmp_path / "out", (), "regression")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert (model.num_labels, model.config.problem_type) == (1, "regression")
    labels = torch.tensor([0.5, 2.0])
    found = model(**inputs_of(batch_of((6, 4), vocabulary=70)), labels=labels)
    torch.testing.assert_close(found.loss, (found.logits.squeeze(1) - labels).pow(2).mean())


def test_an_own_checkpoint_trains_with_dropout_and_is_saved_by_transformers(
    tmp_path: Path, tokenizer: Path, batch_of: Callable[..., Batch], inputs_of: Callable[[Batch], Mapping[str, Tensor]]
) -> None:
    save_pretrained(tiny_slot(0, tokenizer, layers=UNEVEN), tmp_path / "out", ["a", "b"], "classification")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    inputs = inputs_of(batch_of((6, 4), vocabulary=70))
    with torch.random.fork_rng():
        first, second = (model.train()(**inputs, labels=torch.tensor([0, 1])) for _ in range(2))
    assert not torch.equal(first.logits, second.logits)
    first.loss.backward()
    assert model.encoder.classifier.weight.grad is not None
    model.save_pretrained(tmp_path / "again")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again").eval()
    assert isinstance(again, autokd.auto.AutokdForSequenceClassification)
    torch.testing.assert_close(again(**inputs).logits, model.eval()(**inputs).logits, rtol=0, atol=0)


def test_a_traced_network_takes_other_sizes_and_padding(
    tmp_path: Path, tokenizer: Path, batch_of: Callable[..., Batch]
) -> None:
    save_pretrained(tiny_slot(0, tokenizer, layers=UNEVEN), tmp_path / "out", ["a", "b"], "classification")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()

    class Logits(torch.nn.Module):
        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
            found: Tensor = model(ids, mask, types).logits
            return found

    first, other = batch_of((5, 5), vocabulary=70), batch_of((9, 3, 6), vocabulary=70)
    sizes = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length", max=64)}
    traced = torch.export.export(Logits(), (first.ids, first.mask, first.types), dynamic_shapes=(sizes,) * 3)
    found = traced.module()(other.ids, other.mask, other.types)
    torch.testing.assert_close(found, Logits()(other.ids, other.mask, other.types), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_fresh_process_needs_one_import(tmp_path: Path, tokenizer: Path) -> None:
    save_pretrained(tiny_slot(0, tokenizer, layers=UNEVEN), tmp_path / "out", ["a", "b"], "classification")
    code = (
        "import autokd.auto, torch; from transformers import AutoModelForSequenceClassification as A; "
        f"m = A.from_pretrained({str(tmp_path / 'out')!r}); print(tuple(m(torch.tensor([[1, 2]])).logits.shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 2)", done.stderr


def test_a_tokenizer_keeps_its_class_where_only_the_model_told_it(tmp_path: Path, tokenizer: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in tokenizer.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    told = json.loads((source / "tokenizer_config.json").read_text())
    del told["tokenizer_class"]
    (source / "tokenizer_config.json").write_text(json.dumps(told))
    save_pretrained(tiny_slot(0, source, layers=UNEVEN), tmp_path / "out", ["a", "b"], "classification")
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["tokenizer_class"] == "BertTokenizer"


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"one output per label, but it has 2 and the labels are \['a'\]"):
        save_pretrained(tiny_slot(), tmp_path / "out", ["a"], "classification")
    with pytest.raises(SpecError, match=r"a tokenizer's folder has some of.*has none"):
        save_pretrained(replace(tiny_slot(), tokenizer=str(tmp_path)), tmp_path / "out", ["a", "b"], "classification")
    other = make_slot(torch.nn.Identity(), {}, builder="somewhere:Other")
    with pytest.raises(SpecError, match="'somewhere:Other'"):
        save_pretrained(other, tmp_path / "other", ["a", "b"], "classification")
    assert not (tmp_path / "other").exists()


def test_tiny_checkpoint_is_a_whole_hugging_face_folder(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", ["one two three", "four"])
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    assert words.tokenize("two four ox") == ["two", "four", "o", "##x"]
    assert model.config.vocab_size == len(words)
    inputs = words(["one two"], ["four"], return_tensors="pt")
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    assert model(**inputs).logits.shape == (1, 2)


def test_a_tiny_slot_is_the_same_for_the_same_seed() -> None:
    assert tiny_slot(4).content == tiny_slot(4).content
    assert tiny_slot(4).content != tiny_slot(5).content
    assert EncoderShape.from_json(tiny_slot(4, depth=3).config).depth == 3
    assert encoder_slot(build(tiny_slot(4))).content == tiny_slot(4).content  # type: ignore[arg-type]
