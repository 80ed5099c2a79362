"""What a folder's model is: its tokenizer's hash, and whether it already tells a task's labels apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autokd.core.errors import DataError, SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import LayerShape
from autokd.models.bases import base_shape, describe, load_base
from autokd.models.export import save_pretrained
from autokd.models.labels import label_order
from autokd.models.slots import shape_of_slot
from autokd.models.tiny import tiny_checkpoint, tiny_slot, tiny_tokenizer
from autokd.models.tokenizers import fingerprint

TEXTS = ["a few words of text"]
ARCHITECTURE = {"architectures": ["BertForSequenceClassification"]}


def change(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_tokenizer_is_known_by_what_it_does(tmp_path: Path) -> None:
    one = tiny_checkpoint(tmp_path / "one", TEXTS)
    twin = tiny_checkpoint(tmp_path / "twin", TEXTS, seed=3, depth=1)
    (twin / "vocab.txt").unlink()  # the same tokenizer in fewer files
    other = tiny_checkpoint(tmp_path / "other", ["further words"])
    assert fingerprint(str(one)) == fingerprint(str(twin)) != fingerprint(str(other))
    cased = tiny_checkpoint(tmp_path / "cased", TEXTS)
    path = cased / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    assert '"lowercase": false' in path.read_text()
    told = json.loads((cased / "tokenizer_config.json").read_text())
    (cased / "tokenizer_config.json").write_text(json.dumps({**told, "do_lower_case": False}))
    assert fingerprint(str(cased)) != fingerprint(str(one))


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "one", TEXTS)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(DataError, match="must hold a vocabulary"):
        describe("one", folder, "classification")


@pytest.mark.parametrize(
    ("theirs", "ours", "order"),
    [
        ({"0": "a", "1": "b"}, ("a", "b"), (0, 1)),
        ({"0": "b", "1": "a"}, ("a", "b"), (1, 0)),
        ({"0": "POSITIVE", "1": "NEGATIVE"}, ("negative", "positive"), (1, 0)),
        ({"0": "a", "1": "A"}, ("A", "a"), (1, 0)),
        ({"0": "a", "1": "b"}, ("a", "c"), None),
        ({"0": "a", "1": "b", "2": "c"}, ("a", "b"), None),
        ({"1": "a", "2": "b"}, ("a", "b"), None),
        ({"0": "LABEL_0", "1": "LABEL_1"}, ("0", "1"), None),
        ({}, (), None),
        ({"0": "a", "1": "b"}, ("a", "A"), None),
    ],
)
def test_labels_are_matched_by_name(
    theirs: dict[str, str], ours: tuple[str, ...], order: tuple[int, ...] | None
) -> None:
    assert label_order({"id2label": theirs}, ours) == order


def test_a_tuned_model_is_one_with_a_head_and_our_labels(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "one", TEXTS)  # its labels are "0" and "1"

    def is_tuned(name: str, labels: tuple[str, ...] = ("1", "0"), problem: str = "classification") -> bool:
        return describe(name, folder, problem, labels).is_tuned  # type: ignore[arg-type]

    assert is_tuned("a")
    assert not is_tuned("b", ("0", "2"))
    assert not is_tuned("c", (), "regression")
    change(folder, architectures=["BertModel"])
    assert not is_tuned("d")
    change(folder, **ARCHITECTURE, problem_type="multi_label_classification")
    assert not is_tuned("e")
    change(folder, problem_type=None)
    assert is_tuned("f")
    stored = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in stored.items() if not k.startswith("classifier")}, folder / "model.safetensors")
    assert not is_tuned("g")


def test_regression_is_recognised_by_one_output_and_its_kind(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "one", TEXTS, labels=1)
    assert describe("a", folder, "regression").is_tuned
    assert not describe("b", folder, "classification", ("x",)).is_tuned
    change(folder, problem_type=None)
    assert not describe("c", folder, "regression").is_tuned


def test_heads_are_put_into_our_order(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "one", TEXTS)
    plain, turned = (load_base(folder, 2, Seeds(0), labels) for labels in (("0", "1"), ("1", "0")))
    for name in ("classifier.weight", "classifier.bias"):
        assert torch.equal(turned.weights[name], plain.weights[name][[1, 0]])
    assert turned.weights["pooler.weight"].equal(plain.weights["pooler.weight"])


def test_checkpoints_of_a_search_are_base_models_too(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(TEXTS, tmp_path / "words")
    layers = (LayerShape(4, 4, 32), LayerShape(2, 4, 8))
    slot = tiny_slot(3, tokenizer, layers=layers)
    save_pretrained(slot, tmp_path / "own", ["yes", "no"], "classification")
    told = describe("own", tmp_path / "own", "classification", ("no", "yes"))
    assert (told.is_encoder, told.is_tuned) == (True, True)
    found = load_base(tmp_path / "own", 2, Seeds(0), ("no", "yes"))
    assert base_shape(tmp_path / "own", 2) == shape_of_slot(found) == shape_of_slot(slot)
    assert torch.equal(found.weights["classifier.weight"], slot.weights["classifier.weight"][[1, 0]])
    assert load_base(tmp_path / "own", 2, Seeds(0)).content == slot.content
    wider = load_base(tmp_path / "own", 3, Seeds(0))
    assert wider.weights["classifier.weight"].shape == (3, 16)
    assert float(wider.weights["classifier.weight"].std()) > 0.005
    assert torch.equal(wider.weights["layers.1.ffn.up.weight"], slot.weights["layers.1.ffn.up.weight"])
    change(tmp_path / "own", shape=None)
    with pytest.raises(SpecError, match="has a shape"):
        load_base(tmp_path / "own", 2, Seeds(0))
