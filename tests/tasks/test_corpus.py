"""Texts of no task: plain, compressed, in a folder of their own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.engine.asset_sizes import asset_sizes
from autokd.models.assets import copy_asset, find_corpus
from autokd.models.folders import folder_content
from autokd.models.text_models import find_asset
from autokd.tasks.corpus import read_corpus

TEXT = "\ufeffOne text.\n\n  Another, with \u2028 a strange break. \r\nÜber\n"
TEXTS = ("One text.", "Another, with \u2028 a strange break.", "Über")


def write(place: Path, text: str = TEXT) -> Path:
    content = text.encode()
    place.write_bytes(gzip.compress(content) if place.suffix == ".gz" else content)
    return place


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz", "texts"])
def test_one_text_a_line(tmp_path: Path, name: str) -> None:
    assert read_corpus(write(tmp_path / name)) == TEXTS


@pytest.mark.parametrize("name", ["mine.txt", "mine.txt.gz"])
def test_a_study_keeps_a_copy(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name)
    asset = find_asset(str(file), "corpus")
    assert asset == find_corpus(str(file))
    copy_asset(asset, tmp_path / "copy")
    assert read_corpus(tmp_path / "copy") == TEXTS
    assert (tmp_path / "copy" / "config.json").is_file()
    assert folder_content(str(tmp_path / "copy")) != folder_content(str(file))
    before = folder_content(str(file))
    folder_content.cache_clear()
    assert before != folder_content(str(write(tmp_path / name, "other")))


def test_what_a_forecast_knows_of_it(tmp_path: Path) -> None:
    file = write(tmp_path / "c.txt", "a b c d\n" + "word " * 400)
    found = asset_sizes(file, "corpus", 2, max_length=64)
    assert (found.rows, found.length) == (2, pytest.approx((4 * 1.35 + 2 + 64) / 2))  # type: ignore[union-attr]


def test_what_is_no_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is none at"):
        find_corpus(str(tmp_path / "nothing.txt"))
    with pytest.raises(DataError, match="is empty"):
        read_corpus(write(tmp_path / "empty.txt", "\n \n"))
    (tmp_path / "plain.gz").write_text("not compressed")
    with pytest.raises(DataError, match=r"compressed by gzip, but .* is not"):
        read_corpus(tmp_path / "plain.gz")
    (tmp_path / "latin.txt").write_bytes("Ü".encode("latin-1"))
    with pytest.raises(DataError, match="must be UTF-8 text"):
        read_corpus(tmp_path / "latin.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="has none"):
        read_corpus(tmp_path / "folder")
