"""Tokenised rows equal the tokenizer's own."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from autokd.core.errors import DataError
from autokd.core.task import Split
from autokd.engine.tokens import encode
from autokd.models.tiny import tiny_tokenizer

A = ("the cat sat", "a much longer sentence about the cat and the dog", "dog", "the cat sat")
B = ("on the mat", "short", "the dog barked at the cat that sat on the mat", "on the mat")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_tokenizer([*A, *B], tmp_path / "tokenizer")


@pytest.mark.parametrize("second", [None, B])
@pytest.mark.parametrize("max_length", [6, 64])
def test_rows_are_what_the_tokenizer_gives(folder: Path, second: tuple[str, ...] | None, max_length: int) -> None:
    rows = encode(Split(A, second, (0, 1, 1, 0)), folder, max_length, "classification")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for i, text in enumerate(A):
        expected = tokenizer(text, None if second is None else second[i], truncation=True, max_length=max_length)
        start, end = rows.offsets[i : i + 2].tolist()
        assert rows.ids[start:end].tolist() == expected["input_ids"]
        assert rows.types[start:end].tolist() == expected["token_type_ids"]
    assert int(rows.lengths.max()) <= max_length
    assert rows.labels.tolist() == [0, 1, 1, 0]
    assert rows.labels.dtype == torch.int64


def test_many_rows_are_what_few_are_and_take_little_more_memory_than_they_keep(folder: Path) -> None:
    texts = tuple(f"{A[i % 4]} {B[i // 4 % 4]} {i}" for i in range(3000))
    encode(Split(A, None, (0, 1, 1, 0)), folder, 64, "classification")  # what is loaded once
    tracemalloc.start()
    try:
        rows = encode(Split(texts, None, (0,) * len(texts)), folder, 64, "classification")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * sum(part.nbytes for part in (rows.ids, rows.types, rows.offsets, rows.labels, rows.keys))
    assert len(rows) == len(rows.keys) == 3000
    for start in (0, 249, 250, 2998):
        few = encode(Split(texts[start : start + 2], None, (0, 0)), folder, 64, "classification")
        begin, end = int(rows.offsets[start]), int(rows.offsets[start + 2])
        assert torch.equal(rows.ids[begin:end], few.ids)
        assert torch.equal(rows.types[begin:end], few.types)
        assert torch.equal(rows.keys[start : start + 2], few.keys)


def test_keys_name_the_tokens_not_the_labels(folder: Path) -> None:
    rows = encode(Split(A, B, (0, 1, 1, 1)), folder, 64, "classification")
    swapped = encode(Split(B, A, (0, 1, 1, 1)), folder, 64, "classification")
    assert rows.keys[0] == rows.keys[3]
    assert len(set(rows.keys.tolist()) | set(swapped.keys.tolist())) == 6


def test_regression_labels_are_values(folder: Path) -> None:
    rows = encode(Split(A, None, (0.5, 1.0, 2.5, 5.0)), folder, 64, "regression")
    assert rows.labels.tolist() == [0.5, 1.0, 2.5, 5.0]
    assert rows.labels.dtype == torch.float32


def test_bad_input_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got none"):
        encode(Split((), None, ()), folder, 64, "classification")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        encode(Split(A, None, (0, 1, 1, 0)), tmp_path / "empty", 64, "classification")


LONG = (
    "the cat sat on the mat and " * 4000,
    "dog " * 3 + "x" * 100_000,
    " " * 100_000 + "the dog barked",
    "the " * 12 + " " * 100_000 + "dog " * 40,
    "\u6f22" * 100_000,
    " " * 70_000 + "." * 30_000,
)


@pytest.mark.parametrize("second", [None, "the cat sat"])
def test_very_long_texts_give_the_tokenizers_own_rows(folder: Path, second: str | None) -> None:
    pairs = None if second is None else (second,) * len(LONG)
    rows = encode(Split(LONG, pairs, (0,) * len(LONG)), folder, 16, "classification")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for i, text in enumerate(LONG):
        expected = tokenizer(text, second, truncation=True, max_length=16)
        assert rows.ids[rows.offsets[i] : rows.offsets[i + 1]].tolist() == expected["input_ids"]


def test_long_texts_are_no_work_beyond_their_beginning(folder: Path) -> None:
    texts = ("the cat sat on the mat and " * 40_000,) * 40  # a million characters each
    started = time.perf_counter()
    encode(Split(texts, None, (0,) * len(texts)), folder, 16, "classification")
    encode(Split(LONG, LONG[::-1], (0,) * len(LONG)), folder, 16, "classification")
    assert time.perf_counter() - started < 5
