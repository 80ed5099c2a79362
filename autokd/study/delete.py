"""A study's removal: from its storage, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autokd.core.canonical import digest
from autokd.store.files import files_root
from autokd.store.study_store import StudyStore
from autokd.store.transfer import erase, study_names
from autokd.study.places import Places, remove


@dataclass(frozen=True)
class Stock:
    """What there is of a study: ``size_bytes`` of its own files in ``folder``. ``is_last``: no other in the storage."""

    study: str
    n_trials: int
    folder: Path
    size_bytes: int
    is_last: bool


def stock(storage: str, study: str, artifacts: str | None = None) -> Stock:
    """What deleting a study would remove. Raises UsageError for an unknown one."""
    store = StudyStore.open(storage, study, artifacts)
    folder = Places(store.files, study).folder
    return Stock(study, len(store.records()), folder, folder_bytes(folder), study_names(storage) == (study,))


def delete_study(storage: str, study: str, artifacts: str | None = None) -> Stock:
    """Remove a study that nobody runs. Killed half-way, it is still listed and can be deleted again.

    The frozen tasks, models and caches that studies share go with the last study of a storage whose files lie beside
    it; otherwise they stay. Raises StorageError while a driver runs the study.
    """
    store = StudyStore.open(storage, study, artifacts)
    places = Places(store.files, study)
    with store.lock():
        found = stock(storage, study, artifacts)
        doomed = places.folder.with_name(f".deleted-{digest(study)}")
        remove(doomed)
        if places.folder.is_dir():
            places.folder.rename(doomed)  # at once: no half of a study is left under its name
        erase(storage, study)
        remove(doomed)
        if found.is_last and not store.artifacts and store.files == files_root(storage):
            for shared in (places.cache, places.models, places.tasks):
                remove(shared)
    return found


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder, 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
