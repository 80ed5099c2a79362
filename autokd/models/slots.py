"""Networks as read-only values: from a module to a slot, to a fresh module again, and to a folder and back.

A slot's folder holds ``slot.json`` (builder, configuration, content hash, where the tokenizer is) and
``weights.safetensors``. Nothing in it is ever executed or unpickled.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autokd.contracts import Slot
from autokd.core.canonical import canonical
from autokd.core.errors import SpecError, StorageError
from autokd.core.shape import EncoderShape, GraphShape
from autokd.models.encoder import Encoder
from autokd.models.folders import atomic_folder
from autokd.models.weights import write_weights

ENCODER = "autokd.models.encoder:Encoder"
GRAPH = "autokd.models.graph:GraphNetwork"
_FORMAT = 1


def content_of(builder: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """A hash of builder, configuration and weights: 20 hex digits, the same on every machine."""
    found = hashlib.sha256(canonical([builder, config]).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:20]


def make_slot(module: nn.Module, config: Mapping[str, Any], *, builder: str, tokenizer: str = "") -> Slot:
    """The module's present weights as a value: detached copies on the CPU. Word embeddings must not be trimmed."""
    for name, part in module.named_modules():
        if getattr(part, "trimmed", False):
            raise SpecError(f"a slot holds whole tables, but {name!r} is trimmed; restore it first.")
    weights = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in module.state_dict().items()}
    plain = cast(dict[str, Any], json.loads(canonical(config)))
    return Slot(builder, plain, weights, content_of(builder, plain, weights), tokenizer)


def encoder_slot(encoder: Encoder, tokenizer: str = "") -> Slot:
    """An encoder as a slot; its configuration is its shape."""
    return make_slot(encoder, encoder.shape.to_json(), builder=ENCODER, tokenizer=tokenizer)


def slot_like(module: nn.Module, slot: Slot) -> Slot:
    """What a module that was built from ``slot`` has become, as a slot of the same tokenizer.

    An encoder may have changed its shape; any other network keeps its configuration.
    """
    if isinstance(module, Encoder):
        return encoder_slot(module, slot.tokenizer)
    return make_slot(module, slot.config, builder=slot.builder, tokenizer=slot.tokenizer)


def shape_of_slot(slot: Slot) -> EncoderShape:
    """The shape of a slot's encoder; of any other network the encoder's that costs about as much (its ``shape``).

    Raises SpecError for a network that names neither.
    """
    if slot.builder == ENCODER:
        return EncoderShape.from_json(slot.config)
    if slot.builder == GRAPH:
        return GraphShape.from_json(slot.config)
    if "shape" not in slot.config:
        raise SpecError(
            f"a network names the shape that it costs as, but the configuration of {slot.builder!r} has none."
        )
    return EncoderShape.from_json(slot.config["shape"])


def network_of(shape: EncoderShape) -> nn.Module:
    """A network of a shape, its weights not drawn: for whoever counts its parameters."""
    if isinstance(shape, GraphShape):
        return cast(nn.Module, _builder(GRAPH).from_config(shape.to_json()))
    return Encoder(shape)


def build(slot: Slot) -> nn.Module:
    """A fresh module with copies of the slot's weights, in evaluation mode, on the CPU.

    Raises SpecError where the builder is not a module class with ``from_config``.
    """
    module = _builder(slot.builder).from_config(slot.config)
    module.load_state_dict(slot.weights)
    return cast(nn.Module, module.eval())


def _builder(address: str) -> Any:
    name, _, class_name = address.partition(":")
    found = getattr(importlib.import_module(name), class_name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module) or not hasattr(found, "from_config"):
        raise SpecError(f"a slot's builder is 'package.module:Class' of a module with from_config, got {address!r}.")
    return found


def save_slot(slot: Slot, folder: Path) -> None:
    """Write a slot to ``folder``, whole or not at all. A folder that is already there is replaced."""
    with atomic_folder(folder) as work:
        write_weights(slot.weights, work / "weights.safetensors")
        told = {
            "format": _FORMAT,
            "builder": slot.builder,
            "config": slot.config,
            "content": slot.content,
            "tokenizer": slot.tokenizer,
        }
        (work / "slot.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def load_slot(folder: Path) -> Slot:
    """Read a slot back. Raises StorageError where it is missing, of another format, or not what was written."""
    try:
        told = json.loads((folder / "slot.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "weights.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise StorageError(f"no readable slot at {str(folder)!r}: {error}") from error
    if told.get("format") != _FORMAT:
        raise StorageError(f"slots have format {_FORMAT}, but {str(folder)!r} has {told.get('format')!r}.")
    found = content_of(told["builder"], told["config"], weights)
    if found != told["content"]:
        raise StorageError(f"the slot at {str(folder)!r} was changed: its content is {found}, not {told['content']}.")
    return Slot(told["builder"], told["config"], weights, found, told["tokenizer"])
