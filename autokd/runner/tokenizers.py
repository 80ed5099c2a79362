"""Slots on disk that name no folder of the machine: their tokenizers are those of the study's base models.

What lies in the cache is shared by studies whose base models are equal but lie in folders of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autokd.contracts import Slot
from autokd.models.slots import load_slot, save_slot

Assets = Mapping[str, str]  # folders of base models by their names
_OF = "base:"  # stands before the name of a base model


def keep_slot(slot: Slot, folder: Path, assets: Assets) -> None:
    """Write a slot to ``folder``, whole or not at all."""
    save_slot(replace(slot, tokenizer=tokenizer_name(slot.tokenizer, assets)), folder)


def fetch_slot(folder: Path, assets: Assets) -> Slot:
    """Read a slot back. Raises StorageError as ``load_slot`` does."""
    slot = load_slot(folder)
    return replace(slot, tokenizer=tokenizer_folder(slot.tokenizer, assets))


def tokenizer_name(folder: str, assets: Assets) -> str:
    """The base model whose tokenizer lies in a folder, as it is written down; another folder as it is."""
    return next((_OF + name for name, place in assets.items() if place == folder), folder)


def tokenizer_folder(written: str, assets: Assets) -> str:
    """The folder of a tokenizer that ``tokenizer_name`` wrote down.

    Older versions wrote the folder itself, which may lie elsewhere now: it is told by its last name.
    """
    name = written.removeprefix(_OF)
    if name != written and name in assets:
        return assets[name]
    if not written or Path(written).is_dir():
        return written
    return next((place for place in assets.values() if Path(place).name == Path(written).name), written)
