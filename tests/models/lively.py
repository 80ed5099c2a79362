"""Networks whose every weight matters, and a batch with padding to tell them apart by."""

from __future__ import annotations

import torch

from autokd.contracts import Batch, Slot
from autokd.models.slots import content_of


def lively(slot: Slot, seed: int = 0) -> Slot:
    """The slot with all its weights, biases included, drawn large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(value.shape, generator=generator) * 0.3 for name, value in slot.weights.items()}
    return Slot(slot.builder, slot.config, weights, content_of(slot.builder, slot.config, weights), slot.tokenizer)


def padded_batch(words: int = 100, seed: int = 1) -> Batch:
    """Four rows of seven tokens, of which the first has four."""
    ids = torch.randint(5, words, (4, 7), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    return Batch(ids, torch.zeros_like(ids), mask, torch.zeros(4, dtype=torch.long), torch.arange(4))
