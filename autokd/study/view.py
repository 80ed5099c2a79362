"""A study at one moment, for whoever watches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autokd.core.record import TrialRecord, TrialState

STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "paused", "running")


@dataclass(frozen=True)
class FrontPoint:
    """A member of the frontier so far: its validation score from one seed, not yet confirmed."""

    trial: int
    score: float
    params: float
    macs: float


@dataclass(frozen=True)
class StudyView:
    """``spent`` and ``limit`` are in ``unit``, as the budget was written; ``seconds_left`` is the forecast wall time.

    ``phase`` is ``probe``, ``teacher``, ``search``, ``confirm``, ``deploy`` or ``done``; ``jobs`` names what is
    running; ``message`` says what happened last.
    """

    study: str
    phase: str
    counts: Mapping[str, int]
    spent: float
    limit: float
    unit: str
    seconds_left: float
    front: tuple[FrontPoint, ...]
    jobs: tuple[str, ...]
    message: str


def counts(records: Sequence[TrialRecord]) -> dict[str, int]:
    """How many trials there are in each state."""
    found = Counter(record.state for record in records)
    return {state: found[state] for state in STATES}


def front_points(front: Sequence[TrialRecord]) -> tuple[FrontPoint, ...]:
    """The frontier as it is shown."""
    return tuple(
        FrontPoint(r.number, r.values["valid_score"], r.values.get("params", 0.0), r.values.get("macs", 0.0))
        for r in front
    )
