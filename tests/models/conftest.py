"""Small batches and networks for tests of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autokd.contracts import Batch
from autokd.models.encoder import Encoder
from autokd.models.linear import initialise
from autokd.models.tiny import tiny_shape, tiny_tokenizer

TEXTS = ("the cat sat on the mat", "a dog ran away", "what a day it was", "hello, world!")


def make_batch(lengths: tuple[int, ...] = (7, 4, 6), vocabulary: int = 90, pad_id: int = 0, seed: int = 0) -> Batch:
    """Random rows of these lengths, padded to the longest, their second halves of the second segment."""
    generator = torch.Generator().manual_seed(seed)
    n, longest = len(lengths), max(lengths)
    mask = (torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)).long()
    ids = torch.randint(5, vocabulary, (n, longest), generator=generator)
    ids = torch.where(mask.bool(), ids, pad_id)
    types = (torch.arange(longest) >= torch.tensor(lengths).unsqueeze(1) // 2).long() * mask
    return Batch(ids, types, mask, torch.arange(n) % 2, torch.arange(n))


def as_inputs(batch: Batch) -> dict[str, Tensor]:
    """The batch as the arguments of a Hugging Face model."""
    return {"input_ids": batch.ids, "token_type_ids": batch.types, "attention_mask": batch.mask}


def make_encoder(seed: int = 0, scale: float = 10.0, **changes: Any) -> Encoder:
    """A tiny encoder in evaluation mode whose weights are large enough that every part shows in the logits."""
    encoder = Encoder(tiny_shape(**changes))
    initialise(encoder, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return encoder.eval()


@pytest.fixture
def batch() -> Batch:
    """Three rows of 7, 4 and 6 tokens."""
    return make_batch()


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def encoder_of() -> Callable[..., Encoder]:
    return make_encoder


@pytest.fixture
def inputs_of() -> Callable[[Batch], Mapping[str, Tensor]]:
    return as_inputs


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's folder over four short texts."""
    return tiny_tokenizer(TEXTS, tmp_path_factory.mktemp("tokenizer"))
