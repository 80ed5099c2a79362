"""A supernet that was made ahead, with the teacher that taught it, as one folder that studies can name.

The folder is laid out as a checkpoint is (config.json, model.safetensors, the tokenizer's files), of a model type of
its own. Nothing in it is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autokd.contracts import Slot
from autokd.core.errors import SpecError, UsageError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.models.assets import Asset
from autokd.models.export import copy_tokenizer
from autokd.models.families import FAMILIES
from autokd.models.folders import atomic_folder
from autokd.models.hub import read_config
from autokd.models.linear import draw_normal
from autokd.models.mixture import MIXTURE
from autokd.models.slots import ENCODER, content_of
from autokd.models.subspaces import Subspace, SupernetSizes
from autokd.models.supernet import SUPERNET
from autokd.models.tokenizers import fingerprint
from autokd.models.weights import read_weights, write_weights

SUPERNET_TYPE = "autokd-supernet"
_BUILDERS = (SUPERNET, MIXTURE)
_HEAD = "encoder.classifier"


def save_supernet(supernet: Slot, teacher: Slot, folder: Path, made_from: Mapping[str, Any]) -> None:
    """Write a supernet and its teacher to ``folder``, whole or not at all; ``made_from`` is for the reader."""
    family = FAMILIES[EncoderShape.from_json(teacher.config).family]
    told = {
        "model_type": SUPERNET_TYPE,
        "supernet": {"builder": supernet.builder, "config": supernet.config},
        "teacher": teacher.config,
        "made_from": made_from,
    }
    weights = {f"supernet.{name}": value for name, value in supernet.weights.items()}
    weights |= {f"teacher.{name}": value for name, value in teacher.weights.items()}
    with atomic_folder(folder) as work:
        write_weights(weights, work / "model.safetensors")
        (work / "config.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        copy_tokenizer(Path(teacher.tokenizer), work, family.tokenizer)


def load_supernet(folder: Path, n_outputs: int, seeds: Seeds) -> tuple[Slot, Slot]:
    """The supernet, with a classification head of ``n_outputs`` drawn from ``seeds``, and its teacher as it was.

    Raises SpecError for a folder of another kind, DataError for a damaged one.
    """
    config, stored = _config(folder), read_weights(folder / "model.safetensors")
    teacher = _slot(ENCODER, config["teacher"], _part(stored, "teacher."), folder)
    builder, inner = config["supernet"]["builder"], config["supernet"]["config"]
    if builder not in _BUILDERS:
        raise SpecError(f"a supernet is built by one of {', '.join(_BUILDERS)}, but {str(folder)!r} says {builder!r}.")
    weights = _part(stored, "supernet.")
    head = torch.empty(n_outputs, weights[f"{_HEAD}.weight"].shape[1])
    draw_normal(head, torch.Generator().manual_seed(seeds.integer("init:head")))
    weights |= {f"{_HEAD}.weight": head, f"{_HEAD}.bias": torch.zeros(n_outputs)}
    shape = replace(EncoderShape.from_json(inner["shape"]), labels=n_outputs)
    return _slot(builder, {**inner, "shape": shape.to_json()}, weights, folder), teacher


def supernet_sizes(folder: Path, n_outputs: int) -> SupernetSizes:
    """What forecasts know of the supernet in a folder. Raises SpecError for a folder of another kind, DataError
    for one without a tokenizer."""
    inner = _config(folder)["supernet"]["config"]
    shape = replace(EncoderShape.from_json(inner["shape"]), labels=n_outputs)
    return SupernetSizes(Subspace.from_json(inner["subspace"]), shape, fingerprint(str(folder)))


def find_supernet(name: str) -> Asset:
    """A supernet's folder. Raises UsageError where there is none of that name."""
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file() or read_config(folder).get("model_type") != SUPERNET_TYPE:
        raise UsageError(
            f"a supernet that is made ahead is a folder that `autokd supernet --output {name}` wrote, but there is "
            f"none at {name!r}."
        )
    return Asset(str(folder.resolve()), folder.resolve())


def _config(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    if config.get("model_type") != SUPERNET_TYPE:
        raise SpecError(f"a supernet's folder is of type {SUPERNET_TYPE!r}, but {str(folder)!r} is of another.")
    return config


def _part(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _slot(builder: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> Slot:
    return Slot(builder, config, weights, content_of(builder, config, weights), str(folder))
