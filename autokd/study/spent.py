"""What a study has spent so far, from its journal and its records."""

from __future__ import annotations

from autokd.core.record import TrialRecord
from autokd.store.study_store import StudyStore
from autokd.study.causes import LOST
from autokd.study.ledger import Spent, spent_from_json

STARTED = ("search", "random", "enqueued")  # roles of trials that a limit on trials counts


def spent_before(store: StudyStore) -> Spent:
    """What earlier drivers spent: the journal, or what the records say where that is more."""
    journal = spent_from_json(store.get("ledger"))
    records = store.records()
    known = sum(record.device_seconds for record in records)
    known += sum(found["device_seconds"] for found in store.get("prefixes", {}).values())
    known += store.get("probe", {}).get("device_seconds", 0.0)
    known += measured_seconds(store)
    n_trials = sum(1 for r in records if counts_as_trial(r))
    return Spent(max(journal.device_seconds, known), journal.wall_seconds, n_trials)


def counts_as_trial(record: TrialRecord) -> bool:
    """Whether a trial counts against a limit on trials: searched, and not lost with its driver."""
    return record.role in STARTED and not record.error.startswith(LOST) and record.continues is None


def measured_seconds(store: StudyStore) -> float:
    """Device seconds of deploying and of measuring latencies."""
    deployed = sum(found["device_seconds"] for found in store.get("deployed", {}).values())
    return float(store.get("measuring_seconds", 0.0)) + float(deployed)
