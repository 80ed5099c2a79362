"""The end of a study: the confirmed frontier and its controls, with intervals, written down once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autokd.core.errors import AutokdError
from autokd.core.record import Finalist, TrialRecord
from autokd.deploy.gate import load_predictions
from autokd.measure.intervals import interval
from autokd.measure.metrics import find_metric
from autokd.store.importance import importances
from autokd.store.study_store import StudyStore
from autokd.study.appraise import Appraiser
from autokd.study.confirm import Deployed, Interval, controls, finalists
from autokd.study.frontier import SEARCHED
from autokd.study.memory import Memory
from autokd.study.plan import CONTROLS, Plan
from autokd.study.shapes import teacher_of
from autokd.study.timed_on import as_timed_on, machines


def scored_interval(metric: str) -> Interval:
    """Mean and interval of the test score over several seeds' runs, from their predictions on disk."""

    def of(runs: Sequence[TrialRecord]) -> tuple[float, float, float]:
        loaded = [load_predictions(run.predictions["test"]) for run in runs]
        return interval(find_metric(metric), loaded[0][1], [logits for logits, _ in loaded])

    return of


def write_result(store: StudyStore, appraiser: Appraiser, of: Interval) -> None:
    """Work the result out from the records and keep it. Raises AutokdError where nothing could be confirmed."""
    memory = Memory(store)
    plan = memory.plan or Plan(())
    views = [_Timed(store, plan, machine, of) for machine in machines(memory.machine, store.records(), memory.deployed)]
    chosen = max(views, key=lambda view: view.n_timed)  # of equals the first, which is the machine that it ran on last
    records, confirmed = chosen.records, chosen.front
    if not confirmed:
        raise AutokdError(_why_nothing(store))
    found = controls(plan, records, of, store.settings.objectives, chosen.deployed)
    for text in _notes(plan, confirmed, found, records):
        memory.note_ending(text)
    memory.keep_result(
        {
            "front": [finalist.to_json() for finalist in confirmed],
            "controls": [control.to_json() for control in found],
            "prefix": appraiser.appraise(confirmed[0].pipeline).prefix,
            "importances": importances(store),
            "teacher": _teacher(confirmed, chosen.deployed),
        }
    )


class _Timed:
    """A study's finalists as one machine times them. ``n_timed`` orders machines: none, some, with latencies."""

    def __init__(self, store: StudyStore, plan: Plan, machine: str, of: Interval) -> None:
        memory, settings = Memory(store), store.settings
        timed = as_timed_on(machine, store.records(), memory.shapes, settings.constraints)
        self.records = {record.number: record for record in timed}
        self.deployed = {n: facts for n, facts in memory.deployed.items() if facts.get("machine", "") == machine}
        self.front = finalists(plan, self.records, settings.objectives, of, self.deployed)
        self.n_timed = (len(self.front) > 0, sum(member.latency_ms is not None for member in self.front))


def _teacher(front: Sequence[Finalist], deployed: Deployed) -> dict[str, float]:
    """Latency and size of the teacher of the best finalist that was deployed, as they were measured beside it."""
    wanted = teacher_of(front[0].pipeline)
    for each in deployed.values():
        if each["values"] and each["teacher"] == wanted:
            return {name: each["values"][f"teacher_{name}"] for name in ("latency_ms", "latency_p90_ms", "size_bytes")}
    return {}


def _notes(
    plan: Plan, front: Sequence[Finalist], found: Sequence[Finalist], records: dict[int, TrialRecord]
) -> list[str]:
    notes = []
    missing = [name for name in CONTROLS if name not in {control.name for control in found}]
    if missing:
        notes.append(f"Without a result: the control {' and '.join(missing)}.")
    if found and plan.finalists and plan.finalists[0] not in {finalist.trial for finalist in front}:
        notes.append(
            f"The controls have the shape and steps of trial {plan.finalists[0]}, the best when they were planned; "
            "what was left of the budget found better ones."
        )
    for finalist in (*front, *found):
        if finalist.n_seeds < plan.seeds:
            name = finalist.name or f"trial {finalist.trial}"
            notes.append(f"{name} was confirmed with {finalist.n_seeds} instead of {plan.seeds} seeds.")
    notes += _unconfirmed(front, records)
    idle = [f.name or f"trial {f.trial}" for f in (*front, *found) if f.latency_ms is None]
    if idle:
        notes.append(f"Not deployed, so without latencies: {', '.join(idle)}.")
    confirmed = {r.confirms for r in records.values() if r.role == "confirm" and r.state == "complete"}
    beaten = sorted(confirmed - {finalist.trial for finalist in front} - {None}, key=str)
    if beaten:
        listed = ", ".join(map(str, beaten))
        notes.append(f"Confirmed, but dominated by another finalist's mean over seeds: {listed}.")
    return notes


def _unconfirmed(front: Sequence[Finalist], records: dict[int, TrialRecord]) -> list[str]:
    """A note on the best trial of the search, where the budget ended before it could be confirmed."""
    scores = {n: r.values["valid_score"] for n, r in records.items() if r.role in SEARCHED and r.state == "complete"}
    confirmed = {r.confirms for r in records.values() if r.confirms is not None}
    best = max(scores.keys() - confirmed, key=lambda number: scores[number], default=None)
    if best is None or scores[best] <= max((finalist.valid_score for finalist in front), default=math.inf):
        return []
    return [
        f"Trial {best} scores higher on validation ({scores[best]:.4f}), but the budget ended before it was confirmed: "
        "`autokd budget` adds some, `autokd resume` goes on."
    ]


def _why_nothing(store: StudyStore) -> str:
    searched = [record for record in store.records() if record.role in SEARCHED]
    complete = [record for record in searched if record.state == "complete"]
    failed = [record for record in store.records() if record.state == "failed"]
    if complete and not any(record.feasible for record in complete):
        return f"none of {len(complete)} complete trials keeps the constraints {', '.join(store.settings.constraints)}."
    last = f"; the last failure: {failed[-1].error}" if failed else ""
    return f"no trial could be confirmed ({len(complete)} of {len(searched)} were completed{last})."
