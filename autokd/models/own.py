"""Checkpoints of this project's own model type, for shapes that no family has, as base models of further pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.models.encoder import Encoder
from autokd.models.hub import read_config
from autokd.models.labels import label_order
from autokd.models.linear import draw_normal
from autokd.models.slots import encoder_slot

_PREFIX = "encoder."


def own_shape(folder: Path, n_outputs: int) -> EncoderShape:
    """The shape in a checkpoint's configuration, with ``n_outputs`` logits. Raises SpecError where it has none."""
    try:
        return replace(EncoderShape.from_json(read_config(folder)["shape"]), labels=n_outputs)
    except (KeyError, TypeError) as error:
        raise SpecError(f"a checkpoint of the type 'autokd' has a shape, but {str(folder)!r} has none.") from error


def load_own(folder: Path, n_outputs: int, seeds: Seeds, labels: Sequence[str] = ()) -> Slot:
    """A checkpoint as a slot; a head of another width is drawn from ``seeds``, one of ours put into our order.

    Raises SpecError where the weights are not there or not those of the shape.
    """
    encoder = Encoder(own_shape(folder, n_outputs))
    try:
        stored = load_file(folder / "model.safetensors")
        weights = {name.removeprefix(_PREFIX): value for name, value in stored.items()}
        head = weights.pop("classifier.weight"), weights.pop("classifier.bias")
        fits = len(head[0]) == n_outputs
        order = list(label_order(read_config(folder), labels) or range(n_outputs))
        if fits:
            weights |= {"classifier.weight": head[0][order], "classifier.bias": head[1][order]}
        encoder.load_state_dict(weights, strict=fits)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise SpecError(
            f"a checkpoint's weights are those of its shape, but {str(folder)!r} cannot be read."
        ) from error
    if not fits:
        draw_normal(encoder.classifier.weight, torch.Generator().manual_seed(seeds.integer("init:head")))
    return encoder_slot(encoder, str(folder))
