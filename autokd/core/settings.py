"""A study's settings: what was asked for, resolved, as it is frozen into the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

OBJECTIVES = {
    "score": "maximize",
    "params": "minimize",
    "macs": "minimize",
    "latency": "minimize",
    "size_bytes": "minimize",
}


@dataclass(frozen=True)
class DataSource:
    """How a data set was named: a name or a path, where to look, the columns to use.

    ``subset`` is one of the configurations of a hub data set, ``unlabelled`` a file of further texts without labels.
    """

    name: str
    data_dir: str | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    label_column: str | None = None
    metric: str | None = None
    subset: str | None = None
    unlabelled: str | None = None


@dataclass(frozen=True)
class StudySettings:
    """Everything a resumed study needs to go on as it began.

    ``space_text`` is the YAML as it was on the first day; ``teachers`` are resolved names (never ``auto``) and
    ``assets`` maps each of them to its folder under the study's files. ``task`` is the folder of the frozen task.
    ``constraints`` are texts such as ``"params<=15e6"``.
    ``kind`` is what the task's rows are (``text``, ``graph``); the cost of a row grows with its tokens, or with the
    nodes that a node reads, of which ``median_length`` and ``mean_length`` tell.
    ``latency`` is the text of the LatencySpec (empty: the default one), ``latency_length`` its length in tokens.
    """

    study: str
    data: DataSource
    task: str
    task_name: str
    metric: str
    space_name: str
    space_text: str
    teachers: tuple[str, ...]
    assets: Mapping[str, str]
    budget: str
    objectives: tuple[str, ...] = ("score", "macs")
    constraints: tuple[str, ...] = ()
    kind: str = "text"
    latency: str = ""
    latency_length: int = 0
    max_length: int = 128
    median_length: float = 64
    mean_length: float = 64.0
    train_rows: int = 0
    unlabelled_rows: int = 0
    seed: int = 0
    precision: str = "float32"
    device: Literal["cpu", "gpu"] = "cpu"
    workers: int = 1
    gpus_per_trial: float = 0.0
    runner: Literal["ray", "pool"] = "ray"
    address: str | None = None
    method_files: tuple[str, ...] = ()
    trust_remote_code: bool = False
    command: str = ""
    schema: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def with_changes(self, **changes: Any) -> StudySettings:
        return replace(self, **changes)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StudySettings:
        known = {**value, "data": DataSource(**value["data"])}
        for name in ("teachers", "objectives", "constraints", "method_files"):
            known[name] = tuple(known[name])
        return StudySettings(**known)
