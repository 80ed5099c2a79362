"""From texts to token ids: once per split and tokenizer, ragged, never padded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autokd.contracts import Rows
from autokd.core.errors import DataError
from autokd.core.task import Problem, Split
from autokd.engine.long_texts import beginnings
from autokd.models.tokenizers import load_tokenizer

# What tokenizers give takes some twenty times the memory of its numbers, which alone are kept of each block of rows.
_BLOCK = 250


def encode(split: Split, tokenizer_folder: str | Path, max_length: int, problem: Problem) -> Rows:
    """Tokenise a split: special tokens included, cut to ``max_length`` tokens (pairs: the longer text first).

    Labels become int64 class ids, or float32 values for regression. Raises DataError for an empty split and for a
    folder without a tokenizer.
    """
    if len(split) == 0:
        raise DataError("a split must have rows to be tokenised, but got none.")
    blocks = [_Block.of(ids, types) for ids, types in _tokenised(split, load_tokenizer(tokenizer_folder), max_length)]
    dtype = torch.int64 if problem == "classification" else torch.float32
    return _joined(blocks, torch.tensor(split.labels, dtype=dtype))


def make_rows(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], labels: torch.Tensor) -> Rows:
    """Rows from ragged lists; ``labels`` [n_rows]. Equal tokens give equal keys, whatever their label."""
    return _joined([_Block.of(ids, types)], labels)


def _tokenised(split: Split, tokenizer: Any, max_length: int) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Token ids and segment ids of each block of rows."""
    for start in range(0, len(split), _BLOCK):
        block = slice(start, start + _BLOCK)
        encoded = tokenizer(
            beginnings(split.text_a[block], tokenizer, max_length),
            None if split.text_b is None else beginnings(split.text_b[block], tokenizer, max_length),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            verbose=False,
        )
        ids: list[list[int]] = encoded["input_ids"]
        yield ids, encoded.get("token_type_ids") or [[0] * len(row) for row in ids]


@dataclass(frozen=True)
class _Block:
    """Rows one behind the other: int32 ``ids`` and ``types`` [n_tokens], int64 ``lengths`` and ``keys`` [n_rows]."""

    ids: np.ndarray
    types: np.ndarray
    lengths: np.ndarray
    keys: np.ndarray

    @staticmethod
    def of(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> _Block:
        return _Block(
            np.fromiter((token for row in ids for token in row), np.int32),
            np.fromiter((kind for row in types for kind in row), np.int32),
            np.array([len(row) for row in ids], dtype=np.int64),
            np.array([_key(a, b) for a, b in zip(ids, types, strict=True)], dtype=np.int64),
        )


def _joined(blocks: Sequence[_Block], labels: torch.Tensor) -> Rows:
    lengths = np.concatenate([block.lengths for block in blocks])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Rows(
        ids=torch.from_numpy(np.concatenate([block.ids for block in blocks], dtype=np.int64)),
        types=torch.from_numpy(np.concatenate([block.types for block in blocks], dtype=np.int64)),
        offsets=torch.from_numpy(offsets),
        labels=labels,
        keys=torch.from_numpy(np.concatenate([block.keys for block in blocks])),
    )


def _key(ids: Sequence[int], types: Sequence[int]) -> int:
    text = ",".join(map(str, ids)) + ";" + ",".join(map(str, types))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
