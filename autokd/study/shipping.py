"""Which checkpoint of a study is meant when somebody wants one. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError, UsageError
from autokd.core.record import Finalist, TrialRecord
from autokd.study.frontier import frontier
from autokd.study.result import Study


@dataclass(frozen=True)
class Shipped:
    """A trial's checkpoint. ``finalist`` is what was confirmed of it, None where it was not."""

    trial: int
    checkpoint: Path
    pipeline: Mapping[str, Any]
    valid_score: float
    finalist: Finalist | None


def find_checkpoint(study: Study, trial: int | None = None) -> Shipped:
    """The checkpoint of a trial, or (None) of the study's best: confirmed, else on the frontier so far.

    A finalist's is that of its best seed. Raises UsageError for a trial that does not exist or has no checkpoint,
    DataError where the folder is gone.
    """
    name = study.settings.study
    confirmed = {finalist.trial: finalist for finalist in (*study.controls, *study.front)}
    records = {record.number: record for record in study.records}
    if trial is None:
        best = frontier(study.records, study.settings.objectives)
        if not study.front and not best:
            raise UsageError(f"study {name!r} has no finished trial yet whose checkpoint could be taken.")
        trial = study.front[0].trial if study.front else best[0].number
    if trial in confirmed:
        found = confirmed[trial]
        shipped = Shipped(trial, Path(found.checkpoint), found.pipeline, found.valid_score, found)
    else:
        record = _with_checkpoint(study, trial, records)
        shipped = Shipped(trial, Path(record.checkpoint), record.pipeline, record.values["valid_score"], None)
    # A path that is empty would be this very folder, whatever lies in it.
    if not shipped.checkpoint.is_absolute() or not (shipped.checkpoint / "config.json").is_file():
        raise DataError(
            f"the checkpoint of trial {trial} of {name!r} should lie in {str(shipped.checkpoint)!r}, but it is gone; "
            "its pipeline can be trained again with `autokd train`."
        )
    return shipped


def _with_checkpoint(study: Study, trial: int, records: Mapping[int, TrialRecord]) -> TrialRecord:
    there = [record.number for record in study.records if record.state == "complete" and record.checkpoint]
    listed = f"Those with one: {', '.join(map(str, there)) or 'none'}."
    if trial not in records:
        raise UsageError(f"study {study.settings.study!r} has no trial {trial}. {listed}")
    record = records[trial]
    if trial not in there:
        why = "its checkpoint was not kept" if record.state == "complete" else f"it is {record.state}"
        raise UsageError(f"a checkpoint comes from a finished trial, but of trial {trial} {why}. {listed}")
    return record
