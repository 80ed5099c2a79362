"""Networks as read-only values in named slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Slot:
    """A network as a read-only value: what builds it, its shape or configuration, its weights, its tokenizer.

    ``builder`` is ``"package.module:Class"`` of a class with ``from_config(config) -> nn.Module``. ``weights`` are
    never written to: ``build`` copies them into a fresh module. ``tokenizer`` is a folder that AutoTokenizer loads.
    ``content`` is a hash of builder, configuration and weights.
    """

    builder: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    content: str
    tokenizer: str = ""

    # Made by autokd.models.slots: make_slot(module, ...), build(slot), save_slot, load_slot.


class Models(Mapping[str, Slot]):
    """An immutable map of named slots: ``teacher, dense_teacher, student, student_init`` and what stages add."""

    def __init__(self, slots: Mapping[str, Slot] | None = None) -> None:
        self._slots = MappingProxyType(dict(slots or {}))

    def __getitem__(self, name: str) -> Slot:
        if name not in self._slots:
            raise KeyError(f"no slot {name!r}; there are {sorted(self._slots)}")
        return self._slots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def with_slots(self, **slots: Slot) -> Models:
        """A new map with these slots set."""
        return Models({**self._slots, **slots})

    def without(self, *names: str) -> Models:
        """A new map without these slots."""
        return Models({name: slot for name, slot in self._slots.items() if name not in names})
