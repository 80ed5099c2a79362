"""What lies in a model's folder, told from its files alone: which form, which labels, which limits, how many bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from autokd.core.errors import DataError, SpecError
from autokd.core.latency import RUNTIMES
from autokd.core.provenance import KEY, Provenance
from autokd.core.shape import EncoderShape
from autokd.models.export import AUTOKD_TYPE
from autokd.models.families import FAMILIES
from autokd.models.graph_checkpoint import GRAPH_TYPE
from autokd.models.hub import shape_of
from autokd.models.positions import readable_positions

ONNX_FILE = "model.onnx"
EXPORT_KEY = "autokd_export"  # in config.json of ONNX folders: form, source, opset, quantization
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_FEW_POSITIONS = 512  # where a configuration does not say


def onnx_missing() -> str:
    """One line that says what to install, where the packages of the ONNX forms are absent; else ``""``."""
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return f"the ONNX forms need {', '.join(absent)}, not installed here; pip install 'autokd[onnx]' adds them."


def available_runtimes() -> tuple[str, ...]:
    """Those of ``RUNTIMES`` that this machine can run."""
    absent = bool(onnx_missing())
    return tuple(name for name in RUNTIMES if not (absent and name.startswith("onnx")))


def runtime_folder(checkpoint: Path, runtime: str) -> Path:
    """Where a checkpoint's form for this runtime lies: torch reads the checkpoint, the others a folder beside it."""
    return checkpoint if runtime.startswith("torch") else checkpoint.with_name(runtime)


def kind_of(folder: Path) -> str:
    """``hf``, ``onnx``, ``onnx-int8``, or ``graph`` for a graph network's own form.

    Raises DataError for a folder that holds no model with a configuration.
    """
    if not folder.is_dir():
        raise DataError(f"a model is a folder, but there is none at {str(folder)!r}.")
    if not (folder / "config.json").is_file():
        raise DataError(f"a model's folder has a config.json, but {str(folder)!r} has none.")
    if (folder / ONNX_FILE).is_file():
        return str(exported_as(folder).get("form", "onnx"))
    if any(folder.glob("model*.safetensors")):
        return "graph" if read_json(folder).get("model_type") == GRAPH_TYPE else "hf"
    if any(folder.glob("pytorch_model*.bin")):
        raise DataError(
            f"weights are read from safetensors only, but {str(folder)!r} has pytorch_model.bin; "
            "`autokd convert` makes a folder that can be read."
        )
    raise DataError(f"a model's folder has {ONNX_FILE} or model.safetensors, but {str(folder)!r} has neither.")


def read_json(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises DataError where it is not a JSON object."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"a model's folder has a readable config.json, but {str(path)!r} is not: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"a config.json is an object, but {str(path)!r} holds a {type(found).__name__}.")
    return found


def exported_as(folder: Path) -> Mapping[str, Any]:
    """What an ONNX folder of this project says of itself; empty for others."""
    found = read_json(folder).get(EXPORT_KEY)
    return found if isinstance(found, dict) else {}


def labels_of(folder: Path) -> tuple[str, ...]:
    """Class names in the order of the logits, ``()`` for regression (or a single output, which transformers takes so).

    Where the configuration names none they are ``LABEL_0`` and so on, two unless it says how many, as transformers has
    it. Raises DataError for names that are not numbered from 0, and for models that give several labels at once.
    """
    config = read_json(folder)
    if config.get("problem_type") == "multi_label_classification":
        raise DataError(f"a classifier gives each text one label, but {str(folder)!r} is multi_label_classification.")
    names: Any = config.get("id2label")
    if names is None:
        names = {str(i): f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2))}
    if config.get("problem_type") == "regression" or len(names) == 1:
        return ()
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        raise DataError(f"a classifier's config.json numbers id2label from 0, but {str(folder)!r} has {names}.")
    return tuple(str(names[str(i)]) for i in range(len(names)))


def trained_from(folder: Path) -> Provenance | None:
    """What the data were that a checkpoint of this project was trained from; None for others."""
    return Provenance.from_json(read_json(folder).get(KEY))


@dataclass(frozen=True)
class Limits:
    """What a model can read: token ids and segment ids below these numbers, and that many tokens; its padding's id."""

    vocabulary: int
    positions: int
    token_types: int
    pad_id: int = 0


def limits_of(folder: Path) -> Limits:
    """What the model reads, from its config.json. Raises DataError where the vocabulary is not told."""
    config = read_json(folder)
    if config.get("model_type") == GRAPH_TYPE:
        return Limits(vocabulary=0, positions=1, token_types=1)
    try:
        if config.get("shape") is not None:
            return _limits_of(EncoderShape.from_json(config["shape"]))
        if config.get("model_type") in FAMILIES:
            return _limits_of(shape_of(config, 1))
        pad_id = config.get("pad_token_id")
        told = int(config.get("max_position_embeddings") or _FEW_POSITIONS)
        positions = readable_positions(str(config.get("model_type")), told, pad_id)
        types = max(1, int(config.get("type_vocab_size") or 1))
        return Limits(int(config["vocab_size"]), positions, types, int(pad_id or 0))
    except (KeyError, TypeError, ValueError, SpecError) as error:
        raise DataError(f"a model's config.json tells its vocabulary, but {str(folder)!r} does not: {error}") from error


def _limits_of(shape: EncoderShape) -> Limits:
    return Limits(shape.vocabulary, shape.positions, max(1, shape.token_types), shape.pad_id)


def length_of(folder: Path) -> int:
    """The most tokens of a text that its tokenizer's configuration names, else what the model can read."""
    path = folder / "tokenizer_config.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8")).get("model_max_length") if path.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"a tokenizer's configuration is a JSON object, but {str(path)!r} is not: {error}") from error
    positions = limits_of(folder).positions
    return min(int(told), positions) if isinstance(told, (int, float)) and told >= 1 else positions


def is_own(folder: Path) -> bool:
    """Whether ``import autokd.auto`` is needed to load this checkpoint."""
    return cast(str, read_json(folder).get("model_type")) == AUTOKD_TYPE


def folder_bytes(folder: Path) -> int:
    """How many bytes a folder's files have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def source_of(checkpoint: Path) -> str:
    """A hash of a checkpoint's configuration and weights: what an exported form was made from."""
    found = hashlib.sha256()
    for path in [checkpoint / "config.json", *sorted(checkpoint.glob("model*.safetensors"))]:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:20]
