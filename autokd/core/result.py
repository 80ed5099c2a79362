"""A study as plain values, whoever reads them: what searches return and reports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autokd.core.record import Finalist, Teacher, TrialRecord
from autokd.core.settings import StudySettings


@dataclass(frozen=True)
class StudyResult:
    """A study at some moment; one that is still running has no ``front`` yet, and before its first job no teacher.

    ``spent`` holds what was spent by unit (``gpu`` and ``cpu`` device seconds, ``wall`` seconds, ``trials``).
    ``shared_seconds`` are the device seconds of stages that trials share (the teacher), ``deploy_seconds`` those of
    deploying and of measuring latencies. ``importances`` maps a metric
    to parameters' shares in [0, 1]. ``notes`` are sentences that the reader should know (how splits were made, which
    choices were masked, which teacher stood in for another). ``storage`` is as ``--storage`` takes it, without a
    password; empty for the default one.
    """

    settings: StudySettings
    records: tuple[TrialRecord, ...]
    teacher: Teacher | None = None
    front: tuple[Finalist, ...] = ()
    controls: tuple[Finalist, ...] = ()
    spent: Mapping[str, float] = field(default_factory=dict)
    shared_seconds: float = 0.0
    deploy_seconds: float = 0.0
    importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    storage: str = ""
