"""What a new driver finds of the last one's work: finished jobs are taken over, paused ones go on, lost ones again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from autokd.core.budget import Budget
from autokd.core.canonical import digest
from autokd.core.job import Outcome
from autokd.core.record import TrialRecord
from autokd.runner import read_result
from autokd.store.study_store import StudyStore
from autokd.study.candidates import Candidates
from autokd.study.causes import LOST
from autokd.study.frontier import SEARCHED
from autokd.study.memory import Memory
from autokd.study.places import Places, folder_number, holds_work
from autokd.study.queue import Queue
from autokd.study.settle import settle
from autokd.study.shapes import latency_values, needs, teacher_of
from autokd.study.spent import spent_before

_CHARGED = "charged"
KILLED = f"{LOST}: the study's driver ended before this trial had saved anything"


def recover(store: StudyStore, places: Places, devices: float) -> None:
    """Bring the storage up to date with the disk: afterwards no trial is running. ``devices`` is a job's share."""
    records = {record.number: record for record in store.records()}
    unit = Budget.parse(store.settings.budget).limits[0].unit
    for record in records.values():
        if record.state == "running":
            _recover_one(store, places, record, records, devices, spent_before(store).of(unit))


def charge(store: StudyStore, places: Places, record: TrialRecord, device_seconds: float) -> None:
    """Let a trial rest that has finished, but for its latency, and write down what its last sitting took.

    A mark in its folder says that its result is paid for: later kills add nothing.
    """
    records = {each.number: each for each in store.records()}
    store.pause(record.number, device_seconds=record.device_seconds + device_seconds)
    with suppress(FileNotFoundError):  # a simulated trial has no folder
        (places.trial(folder_number(record, records)) / _CHARGED).touch()


def unmeasured(store: StudyStore, places: Places) -> tuple[tuple[TrialRecord, Outcome], ...]:
    """The resting trials that have finished but for their latency, with what they measured."""
    records = {record.number: record for record in store.records()}
    resting = [record for record in records.values() if record.state == "paused"]
    found = ((record, _result(record, places.trial(folder_number(record, records)))) for record in resting)
    return tuple((record, outcome) for record, outcome in found if outcome is not None)


def _result(record: TrialRecord, folder: Path) -> Outcome | None:
    return read_result(folder, record.role if record.role in ("confirm", "control") else "trial")


def queue_unfinished(store: StudyStore, places: Places, candidates: Candidates) -> None:
    """Hand over the trials to go on with, and the parameters of those that were lost and not tried again."""
    records = store.records()
    by_number = {record.number: record for record in records}
    continued = {record.continues for record in records}
    for record in records:
        if record.role not in SEARCHED or record.number in continued:
            continue
        left = record.state == "pruned" and holds_work(places.trial(folder_number(record, by_number)))
        if record.state == "paused" or left:  # a paused trial goes on even if it was stopped before it saved anything
            candidates.go_on(record)
    for record in _lost(records):
        candidates.again(record.params, record.role)
    for record in _lost_requests(records):
        Queue(places.queue).put(record.pipeline, record.params or None)


def _recover_one(
    store: StudyStore,
    places: Places,
    record: TrialRecord,
    records: dict[int, TrialRecord],
    devices: float,
    spent_at: float,
) -> None:
    if record.ended and (record.values or record.error):
        # The last driver wrote down how the trial ended, its cost included, and died before it wrote that it did.
        store.finish(record.number, "failed" if record.error else "complete")
        return
    folder = places.trial(folder_number(record, records))
    outcome = _result(record, folder)
    seconds = 0.0 if outcome is None or (folder / _CHARGED).is_file() else outcome.seconds * devices
    if outcome is not None and _waits_for_latency(store, record, outcome):
        charge(store, places, record, seconds)
    elif outcome is not None:
        settle(store, record, _with_latency(store, record, outcome), seconds, devices, spent_at)
    elif holds_work(folder):
        store.pause(record.number)
    else:
        store.finish(record.number, "failed", error=KILLED)


def _waits_for_latency(store: StudyStore, record: TrialRecord, outcome: Outcome) -> bool:
    wanted = needs("latency", store.settings.objectives, store.settings.constraints)
    return wanted and _latency(store, record, outcome) is None


def _with_latency(store: StudyStore, record: TrialRecord, outcome: Outcome) -> Outcome:
    if not needs("latency", store.settings.objectives, store.settings.constraints):
        return outcome
    known = _latency(store, record, outcome)
    return replace(outcome, values={**outcome.values, **(known or {})}, timed_on=Memory(store).machine)


def _latency(store: StudyStore, record: TrialRecord, outcome: Outcome) -> dict[str, float] | None:
    memory = Memory(store)
    return latency_values(memory.shapes, outcome.shape, teacher_of(record.pipeline), memory.machine)


def _lost(records: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    """Lost trials whose parameters no later trial has."""
    found = []
    for index, record in enumerate(records):
        lost = record.role in ("search", "random") and record.error.startswith(LOST)
        if lost and not any(r.params == record.params and r.role in ("search", "random") for r in records[index + 1 :]):
            found.append(record)
    return found


def _lost_requests(records: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    """Lost trials that somebody had asked for, and that were not started again."""
    asked = [record for record in records if record.role == "enqueued"]
    begun = {digest(record.pipeline) for record in asked if not record.error.startswith(LOST)}
    return [r for r in asked if r.error.startswith(LOST) and digest(r.pipeline) not in begun]
