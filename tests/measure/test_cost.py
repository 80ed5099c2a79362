from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Dropout, Network, Outputs, Wants
from autokd.measure.cost import count_parameters, counted_macs


class _Attends(Network):
    """One embedding, one attention without projections, one output layer: costs that fit in the head."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.words = nn.Embedding(11, 8)
        self.output = nn.Linear(8, 3)
        self.register_buffer("scale", torch.ones(8))

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> Outputs:
        hidden = self.words(batch.ids) * self.scale
        if self.fused:
            mixed = nn.functional.scaled_dot_product_attention(hidden[:, None], hidden[:, None], hidden[:, None])[:, 0]
        else:
            mixed = torch.softmax(hidden @ hidden.transpose(1, 2), dim=-1) @ hidden
        return Outputs(self.output(mixed[:, 0]), batch.mask)


def _batch(n_rows: int, length: int) -> Batch:
    ids = torch.arange(n_rows * length).reshape(n_rows, length) % 11
    ones = torch.ones_like(ids)
    return Batch(ids, ones, ones, torch.zeros(n_rows, dtype=torch.int64), torch.arange(n_rows))


def test_macs_of_products_are_counted() -> None:
    n_rows, length, width, labels = 4, 5, 8, 3
    expected = n_rows * (2 * length * length * width + width * labels)
    assert counted_macs(_Attends(fused=False), _batch(n_rows, length)) == expected


def test_fused_attention_counts_the_same() -> None:
    assert counted_macs(_Attends(fused=True), _batch(2, 6)) == counted_macs(_Attends(fused=False), _batch(2, 6))


def test_parameters_count_once_and_buffers_never() -> None:
    network = _Attends(fused=False)
    alone = count_parameters(network)
    assert alone == 11 * 8 + 8 * 3 + 3
    network.second_name = network.output
    assert count_parameters(network) == alone
