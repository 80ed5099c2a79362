"""The plan of the confirming phase: which trials are finalists, and how many seeds they and the controls get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

N_SEEDS = 3
MAX_FINALISTS = 8
CONTROLS = ("fine-tune", "logits")


@dataclass(frozen=True)
class Plan:
    """``finalists`` are numbers of search trials, the best first; the controls have the shape of the first one."""

    finalists: tuple[int, ...]
    seeds: int = N_SEEDS

    def to_json(self) -> dict[str, Any]:
        return {"finalists": list(self.finalists), "seeds": self.seeds}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        return Plan(tuple(value["finalists"]), int(value["seeds"]))
