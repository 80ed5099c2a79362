"""From a folder of the Hugging Face hub (config.json, safetensors) to a slot with the same logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.encoder import Encoder
from autokd.models.families import Family, find_family
from autokd.models.labels import label_order
from autokd.models.linear import draw_normal
from autokd.models.slots import encoder_slot
from autokd.models.weights import read_weights

# What checkpoints of some years ago, still on the hub, call the two parts of a LayerNorm.
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}
_DEFAULTS: Mapping[str, Any] = {
    "token_types": 2,
    "activation": "gelu",
    "norm_eps": 1e-12,
    "pad_id": 0,
    "dropout": 0.1,
}


def load_pretrained(
    folder: Path | str,
    n_outputs: int,
    seeds: Seeds,
    tokenizer: Path | str | None = None,
    labels: Sequence[str] = (),
) -> Slot:
    """A local checkpoint of a known family, bare encoder or classifier, as a slot with ``n_outputs`` logits.

    A classification head of the same width is kept, its outputs in the order of ``labels`` where it has these; another
    or none is drawn anew from ``seeds`` (normal, standard deviation 0.02, biases 0), and so is a pooler that the
    checkpoint lacks. The tokenizer is the folder's own unless another is named. Raises SpecError where the folder has
    no readable configuration or no safetensors, is of an unknown family, or where tensors are missing or of the wrong
    shape; DataError for a damaged file of weights.
    """
    folder = Path(folder)
    config = read_config(folder)
    family = find_family(str(config.get("model_type")))
    stored = _weights(folder, family)
    encoder = Encoder(shape_of(config, n_outputs))
    _fill(encoder, family, stored, seeds, folder)
    order = label_order(config, labels)
    if order is not None:
        for parameter in (encoder.classifier.weight, encoder.classifier.bias):
            parameter.data = parameter.data[list(order)].contiguous()
    return encoder_slot(encoder, str(folder if tokenizer is None else tokenizer))


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's config.json. Raises SpecError where there is none or it is not JSON."""
    path = folder / "config.json"
    try:
        return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SpecError(f"a checkpoint has a config.json, but {str(path)!r} cannot be read: {error}") from error


def shape_of(config: Mapping[str, Any], n_outputs: int) -> EncoderShape:
    """The encoder shape that a Hugging Face configuration describes, with ``n_outputs`` logits."""
    family = find_family(str(config.get("model_type")))
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise SpecError(f"positions must be absolute, but the checkpoint has {config['position_embedding_type']!r}.")
    found = {**_DEFAULTS, "norm_eps": family.norm_eps, "embedding": 0}
    for ours, theirs in family.config.items():
        if config.get(theirs) is not None:
            found[ours] = config[theirs]
    missing = [theirs for ours, theirs in family.config.items() if ours not in found]
    if missing:
        raise SpecError(f"the configuration of a {family.model_type} has {', '.join(missing)}, but they are missing.")
    heads, ffn, depth = (int(found.pop(name)) for name in ("heads", "ffn", "depth"))
    if not family.token_types:
        found["token_types"] = 0
    if found["embedding"] == found["hidden"]:
        found["embedding"] = 0
    found["positions"] -= shift_of(family, int(found["pad_id"]))
    layers = (LayerShape(heads, int(found["hidden"]) // heads, ffn),) * depth
    return EncoderShape(**found, layers=layers, labels=n_outputs, family=family.model_type)


def has_head(folder: Path) -> bool:
    """Whether a checkpoint of a known family holds a classification head, whatever its configuration says."""
    family = find_family(str(read_config(folder).get("model_type")))
    wanted = family.theirs(0)["classifier"] + ".weight"
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as stored:
            if wanted in stored.keys():  # noqa: SIM118 - not a mapping
                return True
    return False


def shift_of(family: Family, pad_id: int) -> int:
    """How many rows of the family's position table lie before the first token's."""
    return 0 if family.first_position is None else pad_id + family.first_position


def _weights(folder: Path, family: Family) -> dict[str, Tensor]:
    """All tensors of the folder as float32, under the family's full names."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise SpecError(f"a checkpoint has its weights as model.safetensors, but there are none in {str(folder)!r}.")
    stored: dict[str, Tensor] = {}
    for file in files:
        stored.update(read_weights(file))
    bare = not any(name.startswith(family.prefix) for name in stored)
    found = {}
    for name, tensor in stored.items():
        for old, new in _OLD_ENDINGS.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if tensor.is_floating_point():
            found[family.prefix + name if bare else name] = tensor.float()
    return found


def _fill(encoder: Encoder, family: Family, stored: Mapping[str, Tensor], seeds: Seeds, folder: Path) -> None:
    """Copy the stored tensors into the encoder, and draw the head where they have none of its shape."""
    shape = encoder.shape
    shift = shift_of(family, shape.pad_id)
    generator = torch.Generator().manual_seed(seeds.integer("init:head"))
    for ours, theirs in family.theirs(shape.depth, shape.is_projected).items():
        for name, parameter in encoder.get_submodule(ours).named_parameters():
            found = stored.get(f"{theirs}.{name}")
            if found is not None and ours == "embeddings.position":
                found = found[shift:]
            if found is not None and found.shape == parameter.shape:
                parameter.data.copy_(found)
            elif ours in ("pooler", "classifier"):
                if parameter.dim() > 1:
                    draw_normal(parameter, generator)
            else:
                got = "nothing" if found is None else f"the shape {tuple(found.shape)}"
                raise SpecError(
                    f"{theirs}.{name} has the shape {tuple(parameter.shape)}, but {str(folder)!r} has {got} there."
                )
