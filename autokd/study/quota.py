"""The quota of checkpoints: which trials' folders nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from autokd.core.record import TrialRecord
from autokd.store.study_store import StudyStore
from autokd.study.places import Places, folder_number, remove


def spare(records: Sequence[TrialRecord], kept: Collection[int]) -> set[int]:
    """Numbers of the folders that may go.

    Needed are those of ``kept`` (the frontier and the finalists), of controls and of finalists' other seeds, and of
    everything that runs, rests, or was pruned with its work unfinished.
    """
    by_number = {record.number: record for record in records}
    needed = {folder_number(record, by_number) for record in records if record.number in kept or _needed(record)}
    return {folder_number(record, by_number) for record in records} - needed


def sweep(store: StudyStore, places: Places, kept: Collection[int]) -> None:
    """Remove the folders that may go, and have the records name no checkpoint that is not there."""
    records = store.records()
    gone = {number for number in spare(records, kept) if places.trial(number).is_dir()}
    for number in gone:
        remove(places.trial(number))
    by_number = {record.number: record for record in records}
    emptied = [r.number for r in records if r.checkpoint and folder_number(r, by_number) in gone]
    if emptied:
        store.drop_checkpoint(*emptied)


def _needed(record: TrialRecord) -> bool:
    if record.state in ("running", "paused", "pruned"):
        return True
    return record.state == "complete" and record.role in ("control", "confirm")
