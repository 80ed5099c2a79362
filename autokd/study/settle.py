"""From a job's outcome to what its trial's record says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from autokd.core.job import Outcome
from autokd.core.objectives import excesses
from autokd.core.record import TrialRecord
from autokd.core.settings import StudySettings
from autokd.store.study_store import StudyStore


def settle(
    store: StudyStore, record: TrialRecord, outcome: Outcome, device_seconds: float, devices: float, spent_at: float
) -> TrialRecord:
    """Tell the storage how a sitting of a trial ended; the record as it is kept.

    ``device_seconds`` are those of this sitting. Every number of the record is the driver's own or finite.
    """
    changes = _changes(store.settings, record, outcome, device_seconds, devices, spent_at)
    if outcome.state == "paused":
        return store.pause(record.number, **changes)
    return store.finish(record.number, "complete" if outcome.state == "complete" else "failed", **changes)


def _changes(
    settings: StudySettings,
    record: TrialRecord,
    outcome: Outcome,
    device_seconds: float,
    devices: float,
    spent_at: float,
) -> dict[str, Any]:
    alone = max(outcome.seconds_alone * devices, device_seconds)
    found: dict[str, Any] = {
        "device_seconds": record.device_seconds + device_seconds,
        "device_seconds_alone": record.device_seconds_alone + alone,
        "spent_at": spent_at,
    }
    if outcome.environment:
        found["environment"] = dict(outcome.environment)
    if outcome.curve:
        found["curve"] = tuple(outcome.curve)
    if outcome.state == "complete":
        found |= {
            "values": dict(outcome.values),
            "constraints": excesses(settings.constraints, outcome.values),
            "checkpoint": outcome.checkpoint,
            "predictions": dict(outcome.predictions),
            "trained_macs": outcome.trained_macs,
            "shape": outcome.shape,
            "timed_on": outcome.timed_on,
        }
    if outcome.state == "failed":
        found["error"] = outcome.error or "the job failed without saying why"
    return found


def keep_trace(path: Path, outcome: Outcome) -> None:
    """Keep a failed job's traceback where the study's log lies, if there is room for it; its record has the cause."""
    if outcome.trace:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outcome.trace, encoding="utf-8")
