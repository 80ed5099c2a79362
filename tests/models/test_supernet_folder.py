"""Supernets that were made ahead: a folder that studies of any task can name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autokd.contracts import Slot
from autokd.core.errors import DataError, SpecError, UsageError
from autokd.core.seeds import Seeds
from autokd.models.assets import copy_asset
from autokd.models.elastic import shape_of
from autokd.models.mixture import mixture_from
from autokd.models.slots import shape_of_slot
from autokd.models.subspaces import Subspace, SupernetSizes
from autokd.models.supernet import extract, supernet_from
from autokd.models.supernet_folder import find_supernet, load_supernet, save_supernet, supernet_sizes
from autokd.models.text_models import find_asset
from autokd.models.tiny import tiny_slot, tiny_tokenizer
from autokd.models.tokenizers import fingerprint

SPACE = Subspace((1, 2), (2, 4), (8, 12), (1.0, 2.0))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Slot:
    return tiny_slot(4, tiny_tokenizer(["some words to split"], tmp_path_factory.mktemp("words")), labels=1)


def written(teacher: Slot, folder: Path, kind: str = "plain") -> Slot:
    shape = shape_of(teacher)
    slot = supernet_from(teacher, shape, SPACE)
    if kind == "mixture":
        slot = mixture_from(teacher, shape, SPACE, 3, "neuron", 0.1, seed=0)
    save_supernet(slot, teacher, folder, {"steps": 7})
    return slot


@pytest.mark.parametrize("kind", ["plain", "mixture"])
def test_a_supernet_comes_back_with_a_head_for_the_task(teacher: Slot, tmp_path: Path, kind: str) -> None:
    slot = written(teacher, tmp_path / "net", kind)
    asset = find_asset(str(tmp_path / "net"), "supernet")
    copy_asset(asset, tmp_path / "copy")  # as studies freeze it
    supernet, taught_by = load_supernet(tmp_path / "copy", 5, Seeds(1))
    assert taught_by.content == teacher.content == supernet.config["learnt_from"]
    assert fingerprint(supernet.tokenizer) == fingerprint(teacher.tokenizer)
    same = {name for name, value in slot.weights.items() if "classifier" not in name}
    assert all(supernet.weights[name].equal(slot.weights[name]) for name in same)
    student = extract(supernet, SPACE.smallest)
    assert student.weights["classifier.weight"].shape == (5, 8)
    assert float(student.weights["classifier.weight"].std()) > 0
    again, other = load_supernet(tmp_path / "copy", 5, Seeds(1))[0], load_supernet(tmp_path / "copy", 5, Seeds(2))[0]
    assert again.content == supernet.content != other.content
    split = fingerprint(teacher.tokenizer)
    assert supernet_sizes(tmp_path / "copy", 5) == SupernetSizes(SPACE, shape_of_slot(supernet), split)
    assert json.loads((tmp_path / "copy" / "config.json").read_text())["made_from"] == {"steps": 7}


def test_what_is_no_supernet_is_told(teacher: Slot, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="autokd supernet --output nothing"):
        find_supernet("nothing")
    written(teacher, tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    wrong = {**config, "supernet": {**config["supernet"], "builder": "os:system"}}
    (tmp_path / "net" / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(SpecError, match="built by one of"):
        load_supernet(tmp_path / "net", 2, Seeds(0))
    (tmp_path / "net" / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(UsageError, match="there is none at"):
        find_supernet(str(tmp_path / "net"))
    with pytest.raises(SpecError, match="is of another"):
        load_supernet(tmp_path / "net", 2, Seeds(0))
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    (tmp_path / "net" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="whole safetensors file"):
        load_supernet(tmp_path / "net", 2, Seeds(0))
