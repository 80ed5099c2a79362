"""What the tests of MoEBERT share: a conversion, and one layer of experts cut out of a dense network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from autokd.contracts import Models, Rows
from autokd.core.shape import EncoderShape, LayerShape
from autokd.methods.basics import AdamW, FineTuneTeacher
from autokd.methods.moebert import ToExperts
from autokd.methods.moebert.deal import deal
from autokd.methods.moebert.stage import ROUTINGS
from autokd.models.ffn import DenseFfn, FfnInput, build_ffn
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_task

TEACHER = FineTuneTeacher(epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3))
STAGE = "moebert:ToExperts"
BERT = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
NEURONS, EXPERTS = 12, 3  # of one dense network; each expert gets 6, of which 3 are common


def rows(models: Models, root: Path) -> Rows:
    return tiny_context(root, tiny_task(), STAGE).rows("train", models["teacher"])


def converted(models: Models, root: Path, method: ToExperts, folder: str = "stage", seed: int = 1) -> Models:
    return method.run(models, tiny_context(root, tiny_task(), STAGE, folder=folder, seed=seed))


def dealt() -> list[Tensor]:
    """Which neurons of the dense network each expert of ``one_layer`` has."""
    return deal(torch.arange(NEURONS), EXPERTS, 6, 3)


def one_layer(routing: str) -> tuple[nn.Module, DenseFfn, Tensor, FfnInput]:
    """Three experts cut out of a dense network, that network, and hidden states of four rows of five tokens."""
    generator = torch.Generator().manual_seed(0)
    shape = EncoderShape(20, 16, 8, (), labels=2)
    dense = DenseFfn(8, NEURONS, "gelu", 1e-12)
    layer = LayerShape(1, 8, 6, EXPERTS, ROUTINGS[routing].use, gate=ROUTINGS[routing].gate)
    network = build_ffn(8, layer, shape)
    for parameter in (*dense.parameters(), *network.parameters()):
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    if not layer.gate:
        network.route.copy_(torch.randint(0, EXPERTS, (20,), generator=generator))
    for part, neurons in zip(network.experts, dealt(), strict=True):
        part.up.weight.data, part.up.bias.data = dense.up.weight.data[neurons], dense.up.bias.data[neurons]
        part.down.weight.data, part.down.bias.data = dense.down.weight.data[:, neurons], dense.down.bias.data
        part.norm.load_state_dict(dense.norm.state_dict())
    ids = torch.randint(0, 20, (4, 5), generator=generator)
    hidden = torch.randn(4, 5, 8, generator=generator)
    return network, dense, hidden, FfnInput(ids, torch.ones_like(ids))
