"""Records: what a study remembers of each trial, and of itself, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrialState = Literal["running", "paused", "complete", "pruned", "failed"]
Role = Literal["search", "random", "enqueued", "control", "confirm", "imported"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the storage holds it.

    ``number`` is Optuna's trial number. ``role`` says why it was run: proposed by the sampler, the random arm, asked
    for by somebody (``enqueued``), a control (``name``: ``fine-tune`` or ``logits``), a further seed of a finalist
    (``confirms``: that trial's number).
    ``params`` are the space's parameters, empty for pipelines outside of the space. ``values`` as in ``Outcome``.
    ``device_seconds`` is what the trial cost the study; ``device_seconds_alone`` with shared prefixes paid alone.
    ``shape`` is the student's, as in ``Outcome``, and ``timed_on`` the machine that its latency was measured on.
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
    shape: str = ""
    timed_on: str = ""

    @property
    def feasible(self) -> bool:
        """Whether every constraint holds (each is ``value - limit``, at most 0)."""
        return all(value <= 0 for value in self.constraints.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Form:
    """One runtime of a deployed checkpoint, as it was measured: ``onnx``, ``onnx-int8``, ``torch`` or ``torch-bf16``.

    Scores are those of the seed that ships; ``folder`` is what the runtime loads.
    """

    runtime: str
    valid_score: float
    test_score: float
    latency_ms: float
    latency_p90_ms: float
    size_bytes: float
    folder: str


@dataclass(frozen=True)
class Finalist:
    """A confirmed pipeline: scores over seeds, with an interval over examples and seeds (scores are fractions).

    ``size_bytes`` is the size of what ships (``form``). Latencies are medians, and a 90th percentile, at the study's
    latency spec, interleaved with the teacher; ``speedup`` is the teacher's over ``latency_ms``, and ``timed_on`` names
    the machine. They are None (empty) where nothing was deployed. ``forms`` are all runtimes of the seed that ships,
    ``fastest`` the one with the lowest median.
    """

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
    form: str = "float32"
    size_bytes: float = 0.0
    latency_ms: float | None = None
    latency_p90_ms: float | None = None
    teacher_latency_ms: float | None = None
    speedup: float | None = None
    forms: tuple[Form, ...] = ()
    fastest: str = ""
    timed_on: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "forms": [asdict(form) for form in self.forms]}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Finalist:
        return Finalist(**{**value, "forms": tuple(Form(**form) for form in value.get("forms", ()))})


@dataclass(frozen=True)
class Teacher:
    """The study's fine-tuned teacher: ``params`` a count, ``macs`` per example at the task's median length.

    Its latency and size are known once a student was deployed beside it.
    """

    name: str
    valid_score: float
    test_score: float
    params: float
    macs: float
    latency_ms: float | None = None
    latency_p90_ms: float | None = None
    size_bytes: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
