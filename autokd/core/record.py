"""Records: what a study remembers of each trial, and of itself, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrialState = Literal["running", "paused", "complete", "pruned", "failed"]
Role = Literal["search", "random", "control", "confirm", "imported"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the storage holds it.

    ``number`` is Optuna's trial number. ``role`` says why it was run: proposed by the sampler, the random arm, a
    control (``name``: ``fine-tune`` or ``logits``), a further seed of a finalist (``confirms``: that trial's number).
    ``params`` are the space's parameters, empty for pipelines outside of the space. ``values`` as in ``Outcome``.
    ``device_seconds`` is what the trial cost the study; ``device_seconds_alone`` with shared prefixes paid alone.
    """

    number: int
    state: TrialState
    role: Role
    pipeline: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    confirms: int | None = None
    continues: int | None = None
    replicate: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    checkpoint: str = ""
    predictions: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    device_seconds: float = 0.0
    device_seconds_alone: float = 0.0
    forecast_macs: float = 0.0
    trained_macs: float = 0.0
    spent_at: float = 0.0  # the study's spent budget when the trial was told, in the budget's own base unit
    started: str = ""  # ISO 8601, UTC
    ended: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether every constraint holds (each is ``value - limit``, at most 0)."""
        return all(value <= 0 for value in self.constraints.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Finalist:
    """A confirmed pipeline: scores over seeds, with an interval over examples and seeds (scores are fractions)."""

    trial: int
    pipeline: Mapping[str, Any]
    valid_score: float
    test_score: float
    test_low: float
    test_high: float
    params: float
    macs: float
    checkpoint: str
    n_seeds: int
    name: str = ""  # of a control; empty for finalists of the search

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Teacher:
    """The study's fine-tuned teacher: ``params`` a count, ``macs`` per example at the task's median length."""

    name: str
    valid_score: float
    test_score: float
    params: float
    macs: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
