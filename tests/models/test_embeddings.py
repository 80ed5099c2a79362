"""Trimming the vocabulary while training, and writing the rows back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from autokd.contracts import Batch
from autokd.core.errors import SpecError
from autokd.models.encoder import Encoder


def test_a_trimmed_table_gives_the_same_logits_and_gradients(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    whole, trimmed = encoder_of(), encoder_of()
    trimmed.embeddings.word.trim(batch.ids)
    used = torch.unique(batch.ids)
    assert trimmed.embeddings.word.weight.shape == (len(used), 16)
    for encoder in (whole, trimmed):
        encoder(batch).logits.pow(2).sum().backward()
    torch.testing.assert_close(trimmed(batch).logits, whole(batch).logits, rtol=0, atol=0)
    found = trimmed.embeddings.word.weight.grad.to_dense()  # sparse while trimmed
    torch.testing.assert_close(found, whole.embeddings.word.weight.grad[used])


def test_restoring_writes_trained_rows_back_and_no_others(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of()
    word = encoder.embeddings.word
    before = word.weight.detach().clone()
    names = [name for name, _ in encoder.named_parameters()]
    word.trim(batch.ids)
    assert [name for name, _ in encoder.named_parameters()] == names
    with torch.no_grad():
        word.weight.add_(1.0)
    word.restore()
    expected = before.clone()
    expected[torch.unique(batch.ids)] += 1.0
    torch.testing.assert_close(word.weight.detach(), expected, rtol=0, atol=0)
    assert [name for name, _ in encoder.named_parameters()] == names
    word.restore()  # once more changes nothing
    torch.testing.assert_close(word.weight.detach(), expected, rtol=0, atol=0)


def test_trimming_to_the_same_ids_again_brings_the_same_parameter_back(
    encoder_of: Callable[..., Encoder], batch: Batch
) -> None:
    word = encoder_of().embeddings.word
    word.trim(batch.ids)
    first = word.weight
    word.restore()
    with torch.no_grad():
        word.weight.mul_(2.0)  # someone else changed the table meanwhile
    table = word.weight.detach().clone()
    word.trim(batch.ids.flip(0))
    assert word.weight is first
    torch.testing.assert_close(word.weight.detach(), table[torch.unique(batch.ids)], rtol=0, atol=0)
    word.restore()
    word.trim(torch.tensor([3, 1]))
    assert word.weight is not first
    assert word.weight.shape == (2, 16)


def test_an_id_that_was_cut_is_an_error(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    word = encoder_of().embeddings.word
    word.trim(torch.tensor([3, 1]))
    with pytest.raises(IndexError):
        word(torch.tensor([[1, 2]]))


@pytest.mark.parametrize(
    ("ids", "message"), [([5, 100], r"0\.\.99, but got ids from 5 to 100"), ([-1], "from -1 to -1"), ([], "got no ids")]
)
def test_only_ids_of_the_table_can_be_kept(encoder_of: Callable[..., Encoder], ids: list[int], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        encoder_of().embeddings.word.trim(torch.tensor(ids, dtype=torch.long))


def test_a_table_is_trimmed_once_at_a_time(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    word = encoder_of().embeddings.word
    word.trim(batch.ids)
    with pytest.raises(SpecError, match="trimmed already; restore it first"):
        word.trim(batch.ids)


def test_a_frozen_table_stays_frozen(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    word = encoder_of().embeddings.word
    word.weight.requires_grad_(False)
    word.trim(batch.ids)
    assert not word.weight.requires_grad
