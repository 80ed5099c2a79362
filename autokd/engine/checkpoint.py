"""Saving and loading nested state: tensors as safetensors, everything else as JSON, never a pickle.

A folder holds ``state.json`` and the tensor file that it names. Saving again writes a new tensor file, then replaces
``state.json`` in one step, then removes the old tensors: whoever is killed in between leaves a state that loads.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from autokd.core.errors import StorageError

# What a state may be made of: dicts (keys: strings or numbers), lists, tuples, tensors, numbers, strings, None.
Nested = Any
_INDEX = "state.json"
_FORMAT = 1


def has_state(folder: Path) -> bool:
    """Whether a state was saved in this folder."""
    return (folder / _INDEX).is_file()


def save_state(folder: Path, state: Nested) -> None:
    """Write a state, replacing the one before. Raises TypeError for values that are not of the kinds above."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, tensors)
    name = f"tensors-{uuid.uuid4().hex[:12]}.safetensors"
    save_file(tensors, folder / name)
    index = {"format": _FORMAT, "tensors": name, "size_bytes": _settle(folder / name), "tree": tree}
    work = folder / f".{_INDEX}.{os.getpid()}"
    work.write_text(json.dumps(index), encoding="utf-8")
    _settle(work)
    work.replace(folder / _INDEX)
    for old in folder.glob("tensors-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load_state(folder: Path) -> Nested:
    """Read a state back, tensors on the CPU. Raises StorageError where there is none or it is damaged."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        path = folder / index["tensors"]
        if index["format"] != _FORMAT or path.stat().st_size != index["size_bytes"]:
            raise StorageError(f"the state in {str(folder)!r} is damaged, or of another version of autokd.")
        return _unpack(index["tree"], load_file(path))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StorageError(f"no state can be read from {str(folder)!r}: {error!r}") from error


def _settle(path: Path) -> int:
    """Wait until the file is on the disk; its size in bytes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def _pack(value: Nested, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = _alone(value)
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state is made of tensors, numbers, strings, None, dicts and lists, but got {type(value)}.")


def _alone(value: Tensor) -> Tensor:
    """The tensor on the CPU with memory of its own: safetensors refuses tensors that share theirs."""
    plain = value.detach()
    if plain.device.type != "cpu":
        return plain.cpu().contiguous()
    return plain.clone(memory_format=torch.contiguous_format)


def _unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Nested:
    if not isinstance(tree, dict):
        return tree
    [(kind, inner)] = tree.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "dict":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in inner}
    items = [_unpack(item, tensors) for item in inner]
    return tuple(items) if kind == "tuple" else items
