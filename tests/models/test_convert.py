"""From pickled weights to safetensors: tensors alone, whole or not at all."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autokd.core.errors import AutokdError, DataError, UsageError
from autokd.models import convert as module
from autokd.models.assets import find_model
from autokd.models.convert import convert
from autokd.models.tiny import tiny_checkpoint


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A checkpoint of the old kind, in which two names share one tensor."""
    folder = tiny_checkpoint(tmp_path / "old", ["a few words"])
    weights = load_file(folder / "model.safetensors")
    weights["tied.weight"] = weights["bert.embeddings.word_embeddings.weight"]
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "modeling_own.py").write_text("code is left behind")
    return folder


def test_weights_configuration_and_tokenizer_are_there_again(old: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"safetensors once: autokd convert"):
        find_model(str(old))
    made = convert(old, tmp_path / "new")
    expected = torch.load(old / "pytorch_model.bin", weights_only=True)
    found = load_file(made / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert sorted(path.name for path in made.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert find_model(str(made)).folder == made


def test_parts_are_joined_and_must_lie_in_the_folder(old: Path, tmp_path: Path) -> None:
    weights = torch.load(old / "pytorch_model.bin", weights_only=True)
    (old / "pytorch_model.bin").unlink()
    names = {"a.bin": sorted(weights)[::2], "b.bin": sorted(weights)[1::2]}
    for file, some in names.items():
        torch.save({name: weights[name] for name in some}, old / file)
    index = old / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, some in names.items() for name in some}}))
    assert load_file(convert(old, tmp_path / "new") / "model.safetensors").keys() == weights.keys()
    (old / "b.bin").rename(tmp_path / "b.bin")
    index.write_text(json.dumps({"weight_map": {"x": "a.bin", "y": "../b.bin"}}))
    with pytest.raises(DataError, match=r"own folder, but .* names '\.\./b\.bin'"):
        convert(old, tmp_path / "other")
    index.write_text("[]")
    with pytest.raises(DataError, match="weight_map"):
        convert(old, tmp_path / "other")


class Harmful:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["torch", "pickle", "text", "list"])
def test_what_is_more_than_tensors_is_refused_and_leaves_nothing(old: Path, tmp_path: Path, how: str) -> None:
    file, mark = old / "pytorch_model.bin", tmp_path / "mark"
    if how == "torch":
        torch.save({"x": Harmful(mark)}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps({"x": Harmful(mark)}))
    elif how == "text":
        file.write_text("version https://git-lfs.github.com/spec/v1")
    else:
        torch.save([torch.zeros(2)], file)
    with pytest.raises(DataError, match=r"pytorch_model\.bin"):
        convert(old, tmp_path / "new")
    assert not mark.exists()
    assert not (tmp_path / "new").exists()


def test_the_refusal_names_the_cause_and_never_advises_to_unpickle(old: Path, tmp_path: Path) -> None:
    torch.save({"x": Harmful(tmp_path / "mark")}, old / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"it names \S+, which is no tensor") as refused:
        convert(old, tmp_path / "new")
    assert "weights_only" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"junk" * 10, b"", b"\x80\x02.", b"PK\x03\x04" + b"\0" * 40])
def test_damaged_bytes_are_an_error_of_the_data(old: Path, tmp_path: Path, content: bytes) -> None:
    (old / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"pytorch_model\.bin"):
        convert(old, tmp_path / "new")


def test_a_failure_half_way_leaves_nothing(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", fails)
    with pytest.raises(OSError, match="No space"):
        convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir() if "new" in path.name) == []


@pytest.mark.parametrize("what", ["nothing", "no config", "safetensors", "used output"])
def test_what_cannot_be_converted_is_said(old: Path, tmp_path: Path, what: str) -> None:
    if what == "nothing":
        (old / "pytorch_model.bin").unlink()
    elif what == "no config":
        (old / "config.json").unlink()
    elif what == "safetensors":
        (old / "model.safetensors").write_text("")
    else:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "mine.txt").write_text("")
    with pytest.raises(AutokdError):
        convert(old, tmp_path / "new")
