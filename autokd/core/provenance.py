"""What a checkpoint tells of the data that it was trained from, so that nobody scores it on rows it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autokd.core.task import Task

KEY = "autokd_data"  # in a checkpoint's config.json


@dataclass(frozen=True)
class Provenance:
    """The data set's name, the ``seed`` by which missing splits were carved, a hash of all labelled rows and splits,
    and the metric that was maximised."""

    data: str
    seed: int
    content: str
    metric: str

    @staticmethod
    def of(task: Task) -> Provenance | None:
        """That of students of a task; None where nothing tells how its splits were made."""
        if task.seed is None:
            return None
        return Provenance(task.name, task.seed, task.labelled_content, task.metric)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> Provenance | None:
        """What ``to_json`` gave; None for anything else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("seed"), int):
            return None
        told = [value.get(name) for name in ("data", "content", "metric")]
        if not all(isinstance(text, str) for text in told):
            return None
        return Provenance(str(told[0]), value["seed"], str(told[1]), str(told[2]))
