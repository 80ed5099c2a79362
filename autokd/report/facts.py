"""From a study's records to tables. Everything about trials is decided here; nothing is drawn.

Scores are fractions as in the records; times are seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from autokd.core.record import Role, TrialRecord, TrialState
from autokd.core.result import StudyResult
from autokd.report.pipelines import Field, one_line, varying

STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "paused", "running")
ROLES: dict[Role, str] = {
    "search": "search",
    "random": "random arm",
    "enqueued": "asked for",
    "confirm": "confirmation",
    "control": "controls",
    "imported": "imported",
}


@dataclass(frozen=True)
class TrialRow:
    """A trial as the table shows it; ``why`` says what it was run for."""

    record: TrialRecord
    why: str
    pipeline: str
    on_front: bool

    def value(self, name: str) -> float | None:
        return self.record.values.get(name)


@dataclass(frozen=True)
class Step:
    """A told trial: the study's spent budget at that moment, its validation score, the best so far of its arm."""

    number: int
    spent: float
    score: float
    best: float
    pipeline: str


def shown_fields(result: StudyResult) -> frozenset[Field]:
    """The fields of pipelines that are worth printing: those that differ between trials."""
    every = [record.pipeline for record in result.records] + [f.pipeline for f in (*result.front, *result.controls)]
    return varying(every)


def trial_rows(result: StudyResult) -> list[TrialRow]:
    """Every trial, in order of its number."""
    shown = shown_fields(result)
    front = {finalist.trial for finalist in result.front}
    return [
        TrialRow(record, _why(record), one_line(record.pipeline, shown), record.number in front)
        for record in sorted(result.records, key=lambda record: record.number)
    ]


def arms(result: StudyResult) -> dict[str, list[Step]]:
    """Complete trials of the search and of the random arm over the spent budget, each with its best so far."""
    shown = shown_fields(result)
    found: dict[str, list[Step]] = {}
    for arm in ("search", "random"):
        told = [r for r in result.records if r.role == arm and r.state == "complete" and "valid_score" in r.values]
        best, steps = float("-inf"), []
        for record in sorted(told, key=lambda record: (record.spent_at, record.number)):
            score = record.values["valid_score"]
            best = max(best, score)
            steps.append(Step(record.number, record.spent_at, score, best, one_line(record.pipeline, shown)))
        if steps:
            found[arm] = steps
    return found


def states(records: Iterable[TrialRecord]) -> dict[str, int]:
    """How many trials there are in each state, all five states named."""
    counted = Counter(record.state for record in records)
    return {state: counted[state] for state in STATES}


def failures(records: Iterable[TrialRecord]) -> list[tuple[str, list[int]]]:
    """Causes of failed trials and the trials that they stopped, the commonest first."""
    causes: dict[str, list[int]] = {}
    for record in records:
        if record.state == "failed":
            causes.setdefault(record.error or "no cause was recorded", []).append(record.number)
    return sorted(causes.items(), key=lambda item: -len(item[1]))


def spending(result: StudyResult) -> list[tuple[str, float]]:
    """Where the device time went, in seconds; what neither a trial nor the teacher was charged for comes last."""
    by_role = {role: 0.0 for role in ROLES}
    for record in result.records:
        by_role[record.role] += record.device_seconds
    known = {"shared stages": result.shared_seconds} | {ROLES[role]: seconds for role, seconds in by_role.items()}
    known["deploying and latencies"] = result.deploy_seconds
    total = result.spent.get(result.settings.device, 0.0)
    rest = total - sum(known.values())
    rows = [(name, seconds) for name, seconds in known.items() if seconds > 0]
    return rows + ([("probe and the rest", rest)] if rest > 0.005 * total else [])


def _why(record: TrialRecord) -> str:
    if record.role == "confirm" and record.confirms is not None:
        return f"confirms {record.confirms}, seed {record.replicate}"
    if record.continues is not None:
        return f"{record.role}, continues {record.continues}"
    return f"control {record.name}" if record.role == "control" else record.role
