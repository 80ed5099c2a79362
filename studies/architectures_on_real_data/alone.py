"""Sub-networks trained each by itself: what a supernet's shared weights are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from autokd.contracts import Batch, Dropout, Models, Network, Outputs, Wants
from autokd.engine.loop import train
from autokd.engine.teacher import LiveTeacher
from autokd.methods.basics.supernets import ATTENTION
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.models.subspaces import Architecture, Subspace, subspace
from autokd.models.supernet import extract, supernet_from
from autokd.runner.ahead import Ready


class Alone(nn.Module):
    """Networks that share nothing but batches: each step trains all of them, as a supernet's step trains four."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def members(self, step: int) -> Sequence[nn.Module]:
        return list(self.networks)

    def forward(self, batch: Batch, wants: Wants = Wants(), *, dropout: Dropout | None = None) -> Outputs:  # noqa: B008
        found: Outputs = self.networks[0](batch, wants, dropout=dropout)
        return found


def drawn(found: Subspace, macs: Sequence[float], count: int, seed: int) -> list[Architecture]:
    """So many sub-networks of all sizes: one drawn from each of as many equal parts of the ranking by ``macs``."""
    architectures, draw = found.architectures(), np.random.default_rng(seed)
    parts = np.array_split(np.argsort(macs, kind="stable"), count)
    return [architectures[int(draw.choice(part))] for part in parts]


def trained_alone(chosen: Sequence[Architecture], ready: Ready, steps: int, folder: Path) -> list[Network]:
    """These sub-networks, each from the teacher's leading parts, after as many steps of the very batches, optimizer and
    loss that the supernet of ``ready`` has.

    Gradients are clipped by the norm over all of them together: the bound grows with the root of their number.
    """
    stage, teacher = ready.stage, ready.teacher
    shape = shape_of(teacher)
    start = supernet_from(teacher, shape, subspace(stage.space, shape))
    networks = Alone([build(extract(start, each)) for each in chosen])
    ctx = ready.context(folder, lambda step, score: None, lambda: False)
    bound = stage.clip_norm * (len(chosen) / (2 + stage.n_random)) ** 0.5
    train(
        networks,
        [stage.loss.build(Models({"teacher": teacher}), ctx)],
        stage.optimizer,
        replace(stage.options(), epochs=steps / ready.steps_per_epoch, clip_norm=bound),
        ctx,
        ready.trained,
        teacher=LiveTeacher(teacher, ctx, ATTENTION),
    )
    return [network.eval() for network in networks.networks]
