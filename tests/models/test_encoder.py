"""The encoder: what it computes, what it shows, and what masks and empty layers do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autokd.contracts import Batch, Outputs, Wants
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.measure.cost import counted_macs
from autokd.models.encoder import Encoder

EVERYTHING = Wants(frozenset({0, 1, 2}), attention=True)


class Scaled:
    """In the place of dropout: shrinks every value, and counts how often it was asked."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def __call__(self, value: Tensor, rate: float) -> Tensor:
        self.rates.append(rate)
        return value * (1 - rate)


class Reversed:
    """A recipe that blends each row with the row at the other end of the batch."""

    def embeddings(self, value: Tensor) -> Tensor:
        return 0.25 * value + 0.75 * value.flip(0)

    def segments(self, value: Tensor) -> Tensor:
        return value.flip(0)

    def mask(self, value: Tensor) -> Tensor:
        return torch.maximum(value, value.flip(0))

    def targets(self, value: Tensor) -> Tensor:
        return 0.25 * value + 0.75 * value.flip(0)


def alone(batch: Batch, row: int) -> Batch:
    """One row of a batch without its padding."""
    n = int(batch.mask[row].sum())
    keep = slice(row, row + 1)
    return Batch(batch.ids[keep, :n], batch.types[keep, :n], batch.mask[keep, :n], batch.labels[keep], batch.rows[keep])


def test_only_what_is_wanted_is_there(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    nothing: Outputs = encoder_of()(batch)
    assert nothing.logits.shape == (3, 2)
    assert dict(nothing.hidden) == {}
    assert nothing.attention == ()
    some = encoder_of()(batch, Wants(frozenset({1}), attention=True))
    assert {i: tuple(hidden.shape) for i, hidden in some.hidden.items()} == {1: (3, 7, 16)}
    assert [[tuple(part.shape) for part in layer] for layer in some.attention] == [[(3, 4, 7, 4)] * 3] * 2


def test_padding_changes_nothing(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of()
    whole = encoder(batch, EVERYTHING)
    for row in range(len(batch)):
        single = encoder(alone(batch, row), EVERYTHING)
        n = single.mask.shape[1]
        torch.testing.assert_close(whole.logits[row : row + 1], single.logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(whole.hidden[2][row, :n], single.hidden[2][0], atol=1e-5, rtol=1e-5)


def test_attention_is_softmax_of_scaled_products(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of(depth=1)
    found = encoder(batch, Wants(frozenset({0, 1}), attention=True))
    layer = encoder.layers[0]
    query, key, value = found.attention[0]
    projected = layer.attention.query(found.hidden[0]).view(3, 7, 4, 4).transpose(1, 2)
    torch.testing.assert_close(query, projected)
    scores = query @ key.transpose(2, 3) / 4**0.5
    scores = scores.masked_fill(batch.mask[:, None, None, :] == 0, -torch.inf)
    context = (scores.softmax(-1) @ value).transpose(1, 2).reshape(3, 7, 16)
    attended = layer.attention.norm(found.hidden[0] + layer.attention.output(context))
    ffn = layer.ffn
    expected = ffn.norm(attended + ffn.down(torch.nn.functional.gelu(ffn.up(attended))))
    torch.testing.assert_close(found.hidden[1], expected)


def test_masks_of_ones_change_nothing_and_carry_gradients(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of()
    heads = [torch.ones(4, requires_grad=True) for _ in range(2)]
    neurons = [torch.ones(32, requires_grad=True) for _ in range(2)]
    logits = encoder(batch, head_masks=heads, neuron_masks=neurons).logits
    torch.testing.assert_close(logits, encoder(batch).logits, rtol=0, atol=0)
    gradients = torch.autograd.grad(logits.pow(2).sum(), [*heads, *neurons])
    assert all(bool((gradient != 0).all()) for gradient in gradients)


def test_a_masked_head_and_neuron_are_as_good_as_cut(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of(depth=1)
    cut = encoder_of(depth=1, heads=3, ffn=31)
    state = encoder.state_dict()
    keep = [i for i in range(16) if i // 4 != 1]  # all heads but number 1
    for name in ("query", "key", "value"):
        for end in ("weight", "bias"):
            state[f"layers.0.attention.{name}.{end}"] = state[f"layers.0.attention.{name}.{end}"][keep]
    state["layers.0.attention.output.weight"] = state["layers.0.attention.output.weight"][:, keep]
    state["layers.0.ffn.up.weight"] = state["layers.0.ffn.up.weight"][1:]
    state["layers.0.ffn.up.bias"] = state["layers.0.ffn.up.bias"][1:]
    state["layers.0.ffn.down.weight"] = state["layers.0.ffn.down.weight"][:, 1:]
    cut.load_state_dict(state)
    masked = encoder(
        batch,
        head_masks=[torch.tensor([1.0, 0.0, 1.0, 1.0])],
        neuron_masks=[torch.cat([torch.zeros(1), torch.ones(31)])],
    )
    torch.testing.assert_close(masked.logits, cut(batch).logits, atol=1e-5, rtol=1e-5)


def test_a_layer_without_heads_or_neurons_keeps_its_output_biases(
    encoder_of: Callable[..., Encoder], batch: Batch
) -> None:
    encoder = encoder_of(depth=1)
    empty = Encoder(encoder.shape.with_layers((LayerShape(0, 4, 0),)))
    state = encoder.state_dict()
    for name, value in empty.state_dict().items():
        state[name] = state[name].reshape(-1)[:0].view(value.shape) if value.numel() == 0 else state[name]
    empty.load_state_dict(state)
    masked = encoder(batch, head_masks=[torch.zeros(4)], neuron_masks=[torch.zeros(32)])
    found = empty(batch, Wants(attention=True))
    torch.testing.assert_close(found.logits, masked.logits)
    assert found.attention[0][0].shape == (3, 0, 7, 4)


def test_gradients_reach_every_parameter(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of(embedding=8)
    encoder(batch).logits.pow(2).sum().backward()
    still = [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 1e-12)
    ]
    # softmax is blind to what all keys share
    assert [name for name in still if not name.endswith("attention.key.bias")] == []


def test_dropout_is_asked_at_every_place_with_the_shapes_rate(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder, dropout = encoder_of(dropout=0.25), Scaled()
    dropped = encoder(batch, dropout=dropout).logits
    assert dropout.rates == [0.25] * (1 + 2 * 3 + 1)  # embeddings; weights, attention, FFN of two layers; head
    assert not torch.allclose(dropped, encoder(batch).logits)


def test_a_recipe_acts_on_word_embeddings_segments_and_mask(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of()
    mixed = encoder(replace(batch, transform=Reversed()), EVERYTHING)
    assert mixed.mask.tolist() == torch.maximum(batch.mask, batch.mask.flip(0)).tolist()
    part = encoder.embeddings
    words = part.word(batch.ids)
    total = 0.25 * words + 0.75 * words.flip(0) + part.position.weight[:7] + part.token_type(batch.types.flip(0))
    torch.testing.assert_close(mixed.hidden[0], part.norm(total))


def test_nothing_draws_from_the_global_stream(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    before = torch.get_rng_state()
    encoder_of()(batch).logits.sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_logits(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    device = torch.device("cuda")
    expected, encoder = encoder_of()(batch, EVERYTHING), encoder_of().to(device)
    found = encoder(batch.to(device), EVERYTHING)
    torch.testing.assert_close(found.logits.cpu(), expected.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.attention[1][2].cpu(), expected.attention[1][2], atol=1e-3, rtol=1e-3)


def test_half_precision_products_stay_near(encoder_of: Callable[..., Encoder], batch: Batch) -> None:
    encoder = encoder_of(scale=3.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(batch, EVERYTHING)
    exact = encoder(batch, EVERYTHING)
    assert bool(found.logits.isfinite().all())
    torch.testing.assert_close(found.logits.float(), exact.logits, atol=0.1, rtol=0.1)


def test_an_encoder_comes_back_from_its_configuration(encoder_of: Callable[..., Encoder]) -> None:
    encoder = encoder_of(embedding=8, layers=(LayerShape(2, 4, 8), LayerShape(0, 4, 3)))
    again = Encoder.from_config(encoder.shape.to_json())
    assert again.shape == encoder.shape
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in encoder.named_parameters()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embedding": 8, "labels": 5},
        {"token_types": 0, "family": "distilbert"},
        {"layers": (LayerShape(3, 4, 7), LayerShape(0, 4, 0), LayerShape(1, 8, 64))},
    ],
)
def test_closed_forms_of_size_and_cost_are_the_counts(
    encoder_of: Callable[..., Encoder], batch_of: Callable[..., Batch], changes: dict[str, object]
) -> None:
    encoder = encoder_of(**changes)
    assert counted_macs(encoder, batch_of((9,))) == encoder.shape.macs(9)
    assert encoder.shape.params() == sum(parameter.numel() for parameter in encoder.parameters())


def test_bert_base_has_its_known_size() -> None:
    shape = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
    assert shape.params() == 109_483_778


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "gpt"}, "unknown encoder family 'gpt'"),
        ({"activation": "glu"}, "unknown activation 'glu'"),
        ({"layers": (LayerShape(2, 4, 8, ffn_use="nowhere:Network"),)}, "unknown method module 'nowhere'"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(
    encoder_of: Callable[..., Encoder], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        encoder_of(**changes)


def test_rows_longer_than_the_positions_are_refused(
    encoder_of: Callable[..., Encoder], batch_of: Callable[..., Batch]
) -> None:
    with pytest.raises(SpecError, match=r"at most 64 tokens for this model, but got 65"):
        encoder_of()(batch_of((65, 3)))
