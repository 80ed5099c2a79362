"""Pretrained models by folder, whichever network they need: what they are, their shape, their slot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from autokd.contracts import BaseModel, Slot
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.core.task import Problem
from autokd.models.export import AUTOKD_TYPE
from autokd.models.families import FAMILIES
from autokd.models.hub import has_head, load_pretrained, read_config, shape_of
from autokd.models.labels import tells_apart
from autokd.models.own import load_own, own_shape
from autokd.models.tokenizers import fingerprint


def is_encoder(folder: str | Path) -> bool:
    """Whether a folder's model is one that the project's own encoder loads."""
    return _type(folder) in (*FAMILIES, AUTOKD_TYPE)


def _type(folder: str | Path) -> str:
    return str(read_config(Path(folder)).get("model_type"))


def describe(name: str, folder: str | Path, problem: Problem, labels: Sequence[str] = ()) -> BaseModel:
    """What a check knows of the model in a folder: can it be sliced, how does it split texts, is it tuned already.

    Raises SpecError or UsageError where the model cannot be used at all, DataError where it has no tokenizer.
    """
    return _described(name, str(folder), problem, tuple(labels))


@lru_cache(maxsize=256)
def _described(name: str, folder: str, problem: Problem, labels: tuple[str, ...]) -> BaseModel:
    known = is_encoder(folder)
    config = read_config(Path(folder)) if known else _foreign_config(Path(folder), name)
    headless = _type(folder) in FAMILIES and not has_head(Path(folder))
    is_tuned = tells_apart(config, problem, labels) and not headless
    return BaseModel(name, known, fingerprint(folder), is_tuned)


def _foreign_config(folder: Path, name: str) -> dict[str, Any]:
    from autokd.models.foreign_shape import foreign_config

    return foreign_config(folder, name)


def base_shape(folder: str | Path, n_outputs: int) -> EncoderShape:
    """The shape of a folder's model with ``n_outputs`` logits; for any but an encoder one that costs about as much."""
    return _shape(str(folder), n_outputs)


@lru_cache(maxsize=256)
def _shape(folder: str, n_outputs: int) -> EncoderShape:
    if _type(folder) == AUTOKD_TYPE:
        return own_shape(Path(folder), n_outputs)
    if is_encoder(folder):
        return shape_of(read_config(Path(folder)), n_outputs)
    from autokd.models.foreign_shape import foreign_shape

    return foreign_shape(Path(folder), n_outputs)


def readable_length(folders: Iterable[str | Path], max_length: int) -> int:
    """``max_length`` tokens, or fewer where one of the models in ``folders`` has no more positions."""
    found = (base_shape(folder, 1).positions for folder in folders)
    return min([max_length, *(positions for positions in found if positions > 0)])


def load_base(folder: str | Path, n_outputs: int, seeds: Seeds, labels: Sequence[str] = ()) -> Slot:
    """A folder's model as a slot with ``n_outputs`` logits, in the order of ``labels`` where its head has these."""
    if _type(folder) == AUTOKD_TYPE:
        return load_own(Path(folder), n_outputs, seeds, labels)
    if is_encoder(folder):
        return load_pretrained(folder, n_outputs, seeds, labels=labels)
    from autokd.models.foreign import load_foreign

    return load_foreign(Path(folder), n_outputs, seeds, labels)
