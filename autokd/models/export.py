"""From a slot to a folder that ``AutoModelForSequenceClassification`` and ``AutoTokenizer`` load.

Where the shape allows it is a plain checkpoint of the encoder's own family, for ``transformers`` alone; otherwise its
model type is ``autokd`` and ``import autokd.auto`` makes it known.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.core.provenance import KEY, Provenance
from autokd.core.shape import EncoderShape
from autokd.core.task import Problem
from autokd.models.families import FAMILIES, Family
from autokd.models.folders import atomic_folder
from autokd.models.hub import shift_of
from autokd.models.slots import ENCODER
from autokd.models.weights import write_weights

AUTOKD_TYPE = "autokd"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "bpe.codes",
    "dict.txt",
)


def is_plain(shape: EncoderShape) -> bool:
    """Whether ``transformers`` alone can build this shape: equal dense layers whose heads fill the hidden width."""
    family = FAMILIES.get(shape.family)
    if family is None or shape.depth == 0 or (shape.token_types > 0) != family.token_types:
        return False
    first = shape.layers[0]
    dense = first.ffn > 0 and first.ffn_copies == 1 and not first.ffn_use
    return (
        all(layer == first for layer in shape.layers)
        and first.heads > 0
        and first.heads * first.head_width == shape.hidden
        and dense
        and (not shape.is_projected or family.free_embedding)
        and ("norm_eps" in family.config or shape.norm_eps == family.norm_eps)
    )


def save_pretrained(
    slot: Slot,
    folder: Path,
    label_names: Sequence[str],
    problem: Problem,
    max_length: int | None = None,
    trained_from: Provenance | None = None,
) -> None:
    """Write config.json, model.safetensors and the tokenizer's files to ``folder``, whole or not at all.

    ``label_names`` are those of the task, in the order of class ids; regression has one output, whatever they are.
    ``max_length`` is the most tokens of a text that the model was trained on, written down as its tokenizer's limit;
    ``trained_from`` goes into config.json.
    Raises SpecError where the slot is no encoder, or its outputs are not as many as the labels.
    """
    if slot.builder != ENCODER:
        raise SpecError(f"only encoders ({ENCODER}) are exported, but the slot's builder is {slot.builder!r}.")
    shape = EncoderShape.from_json(slot.config)
    names = list(label_names) if problem == "classification" else ["score"]
    if len(names) != shape.labels:
        raise SpecError(f"a model has one output per label, but it has {shape.labels} and the labels are {names}.")
    plain = is_plain(shape)
    config = {**(_plain_config(shape) if plain else _own_config(shape)), **_label_config(names, problem)}
    if trained_from is not None:
        config[KEY] = trained_from.to_json()
    weights = _plain_weights(slot, shape) if plain else {f"encoder.{k}": v for k, v in slot.weights.items()}
    with atomic_folder(folder) as work:
        write_weights(weights, work / "model.safetensors")
        (work / "config.json").write_text(_text(config), encoding="utf-8")
        if slot.tokenizer:
            copy_tokenizer(Path(slot.tokenizer), work, FAMILIES[shape.family].tokenizer, max_length)


def copy_tokenizer(source: Path, folder: Path, tokenizer_class: str, max_length: int | None = None) -> None:
    """Copy a tokenizer's files. Its class is written down where only the model's own type told it before.

    Raises SpecError where ``source`` holds no tokenizer.
    """
    found = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not found:
        raise SpecError(f"a tokenizer's folder has some of {', '.join(TOKENIZER_FILES)}; {str(source)!r} has none.")
    for name in found:
        shutil.copyfile(source / name, folder / name)
    path = folder / "tokenizer_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known: dict[str, Any] = {"tokenizer_class": told.get("tokenizer_class") or tokenizer_class}
    if max_length is not None:
        known["model_max_length"] = max_length
    if any(told.get(name) != value for name, value in known.items()):
        path.write_text(_text({**told, **known}), encoding="utf-8")


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _label_config(names: Sequence[str], problem: Problem) -> dict[str, Any]:
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": "single_label_classification" if problem == "classification" else "regression",
        "dtype": "float32",
    }


def _own_config(shape: EncoderShape) -> dict[str, Any]:
    return {
        "model_type": AUTOKD_TYPE,
        "architectures": ["AutokdForSequenceClassification"],
        "shape": shape.to_json(),
        "pad_token_id": shape.pad_id,
    }


def _plain_config(shape: EncoderShape) -> dict[str, Any]:
    family = FAMILIES[shape.family]
    first = shape.layers[0]
    told = {
        **shape.to_json(),
        "heads": first.heads,
        "ffn": first.ffn,
        "depth": shape.depth,
        "embedding": shape.embedding or shape.hidden,
        "positions": shape.positions + shift_of(family, shape.pad_id),
    }
    config = {theirs: told[ours] for ours, theirs in family.config.items()}
    rates = dict.fromkeys(_dropout_keys(family), shape.dropout)
    return {"model_type": family.model_type, "architectures": [family.architecture], **config, **rates}


def _dropout_keys(family: Family) -> tuple[str, ...]:
    """The further dropout rates of a family: here all of them are one."""
    if family.model_type == "distilbert":
        return ("attention_dropout", "seq_classif_dropout")
    return ("attention_probs_dropout_prob", "classifier_dropout")


def _plain_weights(slot: Slot, shape: EncoderShape) -> dict[str, Tensor]:
    family = FAMILIES[shape.family]
    found = {}
    for ours, theirs in family.theirs(shape.depth, shape.is_projected).items():
        for ending in ("weight", "bias"):
            tensor = slot.weights.get(f"{ours}.{ending}")
            if tensor is not None:
                found[f"{theirs}.{ending}"] = tensor
    shift = shift_of(family, shape.pad_id)
    if shift:
        name = family.theirs(0)["embeddings.position"] + ".weight"
        found[name] = torch.cat([torch.zeros(shift, found[name].shape[1]), found[name]])
    return found
