"""From texts to token ids: once per split and tokenizer, ragged, never padded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from autokd.contracts import Rows
from autokd.core.errors import DataError
from autokd.core.task import Problem, Split
from autokd.engine.long_texts import beginnings
from autokd.models.tokenizers import load_tokenizer


def encode(split: Split, tokenizer_folder: str | Path, max_length: int, problem: Problem) -> Rows:
    """Tokenise a split: special tokens included, cut to ``max_length`` tokens (pairs: the longer text first).

    Labels become int64 class ids, or float32 values for regression. Raises DataError for an empty split and for a
    folder without a tokenizer.
    """
    if len(split) == 0:
        raise DataError("a split must have rows to be tokenised, but got none.")
    tokenizer = load_tokenizer(tokenizer_folder)
    pairs = None if split.text_b is None else beginnings(split.text_b, tokenizer, max_length)
    encoded = tokenizer(
        beginnings(split.text_a, tokenizer, max_length),
        pairs,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        verbose=False,
    )
    ids: list[list[int]] = encoded["input_ids"]
    types: list[list[int]] = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    dtype = torch.int64 if problem == "classification" else torch.float32
    return make_rows(ids, types, torch.tensor(split.labels, dtype=dtype))


def make_rows(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], labels: torch.Tensor) -> Rows:
    """Rows from ragged lists; ``labels`` [n_rows]. Equal tokens give equal keys, whatever their label."""
    lengths = torch.tensor([len(row) for row in ids], dtype=torch.int64)
    offsets = torch.zeros(len(ids) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return Rows(
        ids=torch.tensor([token for row in ids for token in row], dtype=torch.int64),
        types=torch.tensor([kind for row in types for kind in row], dtype=torch.int64),
        offsets=offsets,
        labels=labels,
        keys=torch.tensor([_key(a, b) for a, b in zip(ids, types, strict=True)], dtype=torch.int64),
    )


def _key(ids: Sequence[int], types: Sequence[int]) -> int:
    text = ",".join(map(str, ids)) + ";" + ",".join(map(str, types))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
