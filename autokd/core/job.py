"""What travels between a study and its workers: plain, JSON-ready values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

JobKind = Literal["probe", "prefix", "trial", "confirm", "control", "latency", "deploy"]
ALONE = ("latency", "deploy")  # kinds beside which nothing else may run: they measure time
JobState = Literal["complete", "paused", "failed"]


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides a trial's result: equal specs give equal weights on equal software.

    ``pipeline`` is resolved (all defaults filled in, no ``auto``). ``task`` is the folder of the frozen task,
    ``assets`` maps each base model's name in the pipeline to the folder that holds it. ``precision`` is
    ``"float32"`` or ``"bfloat16"``. ``cache`` is the root for artifacts named by content (prefixes, teacher outputs).
    ``trust_remote_code`` allows models and tokenizers to bring code of their own.
    """

    pipeline: Mapping[str, Any]
    task: str
    assets: Mapping[str, str]
    cache: str
    seed: int
    replicate: int = 0
    max_length: int = 128
    precision: str = "float32"
    method_files: tuple[str, ...] = ()
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Job:
    """One piece of work for one worker.

    kind: ``probe`` times a few steps; ``prefix`` makes the shared leading stages; ``trial``, ``confirm`` and
    ``control`` run a whole pipeline (the last two also open the test split); ``latency`` times the student that a
    trial left in its folder, ``deploy`` makes, scores and times all its forms.
    ``folder`` holds the job's checkpoints and its result; a job resumes from what it finds there.
    ``deadline_seconds`` is how long the job may run (wall) before it must save itself and return as paused.
    ``devices`` is what the budget is charged per wall second, ``threads`` how many CPU threads it may use.
    ``lease`` is a file that the driver keeps fresh; a worker that finds it stale ends itself. ``latency`` is the text
    of the study's LatencySpec with its length in tokens.
    """

    id: str
    kind: JobKind
    spec: TrialSpec
    folder: str
    deadline_seconds: float
    devices: float = 1.0
    threads: int = 1
    device: Literal["cpu", "gpu"] = "cpu"
    lease: str = ""
    forecast_macs: float = 0.0
    latency: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Job:
        spec = dict(value["spec"])
        spec["method_files"] = tuple(spec.get("method_files", ()))
        return Job(**{**value, "spec": TrialSpec(**spec)})


@dataclass(frozen=True)
class Progress:
    """A job's report after each evaluation: position in the pipeline, validation score, seconds so far (wall)."""

    stage: int
    step: int
    score: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``values`` holds what was measured, by name:

    trials: ``valid_score, params, active_params, nonzero_params, macs, size_bytes`` (confirm and control also
    ``test_score``; an int8 form also ``float_valid_score``); probes and prefixes: ``seconds_per_mac``; teachers:
    ``valid_score, test_score, params, macs``; latencies: ``latency_ms, latency_p90_ms, teacher_latency_ms, speedup``;
    deploys: those, and by runtime ``RUNTIME/valid_score`` and so on. ``shape`` names what a trial's speed depends on:
    its student's shape and form.
    ``predictions`` names files of raw predictions (safetensors) by split. ``checkpoint`` is a folder.
    ``error`` is one line, for failed jobs; ``trace`` the traceback for the log. ``curve`` is a list of Progress JSON.
    ``seconds`` is wall time in the worker; ``seconds_alone`` what the trial would cost if it shared no prefix.
    ``notes`` are sentences for the reader of the study. ``timed_on`` names the machine that latencies are of.
    """

    state: JobState
    seconds: float
    values: Mapping[str, float] = field(default_factory=dict)
    checkpoint: str = ""
    predictions: Mapping[str, str] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    error: str = ""
    trace: str = ""
    seconds_alone: float = 0.0
    trained_macs: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    shape: str = ""
    notes: tuple[str, ...] = ()
    timed_on: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Outcome:
        return Outcome(**{**value, "curve": tuple(value.get("curve", ())), "notes": tuple(value.get("notes", ()))})
