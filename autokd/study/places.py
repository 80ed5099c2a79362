"""Where a study keeps its files. Every path is named here and nowhere else."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autokd.core.canonical import digest
from autokd.core.record import TrialRecord

STOP_FILE = "stop"
_DRIVER = uuid.uuid4().hex


@dataclass(frozen=True)
class Places:
    """``root`` is the storage's folder of files; tasks, models and the cache are shared by the studies in it."""

    root: Path
    study: str

    @property
    def cache(self) -> Path:
        """Artifacts named by content: prefixes, teacher outputs."""
        return self.root / "cache"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @property
    def folder(self) -> Path:
        """The study's own folder. Study names may hold any character; the digest keeps equal-looking ones apart."""
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.study)[:40]
        return self.root / "studies" / f"{plain}-{digest(self.study)[:6]}"

    @property
    def lease(self) -> Path:
        """Kept fresh by this process, the driver; workers that find it stale end themselves.

        Another driver has another one: orphans of the last driver must not take the next one for theirs.
        """
        return self.folder / f"lease-{_DRIVER}"

    def trial(self, number: int) -> Path:
        """The folder of a trial: checkpoints, predictions, result."""
        return self.folder / "trials" / str(number)

    def job(self, name: str) -> Path:
        """The folder of a job that is no trial (probe, prefix)."""
        return self.folder / "jobs" / name

    @property
    def queue(self) -> Path:
        """Where pipelines wait that somebody asked for."""
        return self.folder / "queue"

    def trace(self, job: str) -> Path:
        """Where the traceback of a failed job is kept."""
        return self.folder / "log" / f"{job}.txt"

    @property
    def runner_log(self) -> Path:
        """Where workers' own output goes."""
        return self.folder / "log"


def folder_number(record: TrialRecord, records: Mapping[int, TrialRecord]) -> int:
    """The number of the trial in whose folder a record's run lies.

    A finalist's first seed is the search trial itself, and a trial that continues another one goes on in its folder.
    """
    if record.role == "confirm" and record.replicate == 0 and record.confirms is not None:
        return folder_number(records[record.confirms], records)
    if record.continues is not None:
        return folder_number(records[record.continues], records)
    return record.number


def holds_work(folder: Path) -> bool:
    """Whether a job left something in its folder to go on from."""
    return folder.is_dir() and any(path.name != STOP_FILE for path in folder.iterdir())


def ask_to_stop(folder: Path) -> None:
    """Ask the job that runs in this folder to save itself and return."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP_FILE).touch()


def clear_stop(folder: Path) -> None:
    """Take back an old request to stop."""
    (folder / STOP_FILE).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove a folder that may be gone already."""
    shutil.rmtree(folder, ignore_errors=True)
