from __future__ import annotations

from typing import Any

import pytest

from autokd.core.errors import StorageError, UsageError
from autokd.store import StudyStore
from autokd.store.transfer import dump, erase, restore, study_names

PIPELINE = {"stages": [], "form": "float32"}


@pytest.fixture
def filled(store: StudyStore) -> StudyStore:
    store.start(PIPELINE, {"student": "cut", "dropout": None, "lr": 1e-4, "layers": 2})
    store.finish(0, values={"valid_score": 0.5, "macs": 1e6}, constraints={"params<=9": -1.0})
    store.start(PIPELINE, {"student": "load", "dropout": 0.1, "lr": 1e-5, "layers": 1}, "random")
    store.finish(1, "failed", error="no")
    store.start(PIPELINE, None, "control", name="logits", confirms=0)
    store.put("notes", ["a note"])
    return store


def _elsewhere(value: dict[str, Any], storage: str) -> StudyStore:
    suffix = ".journal" if storage.endswith(".db") else ".db"
    return restore(f"elsewhere/studies{suffix}", value)


def test_a_study_is_the_same_after_it_was_dumped_and_restored(filled: StudyStore, storage: str) -> None:
    again = _elsewhere(dump(storage, "first"), storage)
    assert again.records() == filled.records()
    assert again.settings == filled.settings
    assert again.holes == filled.holes
    assert again.get("notes") == ["a note"]
    assert dump(again.storage, "first") == dump(storage, "first")


def test_a_restored_study_can_be_gone_on_with(filled: StudyStore, storage: str) -> None:
    again = _elsewhere(dump(storage, "first"), storage)
    again.finish(2, values={"valid_score": 0.6, "macs": 1e6})
    assert again.start(PIPELINE, {"student": "cut", "dropout": 0.0, "lr": 1e-3, "layers": 4}) == 3


def test_a_study_is_restored_once(filled: StudyStore, storage: str) -> None:
    value = dump(storage, "first")
    with pytest.raises(UsageError, match="'first' exists"):
        restore(storage, value)
    assert len(StudyStore.open(storage, "first").records()) == 3


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"attributes": {}, "trials": []},
        {"attributes": {"schema": 1}, "trials": []},
        {"attributes": {"schema": 2}, "trials": []},
    ],
    ids=str,
)
def test_what_is_no_study_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(StorageError):
        restore("elsewhere/studies.journal", broken)


def test_names_are_listed_and_erased(filled: StudyStore, storage: str) -> None:
    assert study_names(storage) == ("first",)
    with pytest.raises(UsageError, match="Did you mean 'first'"):
        erase(storage, "fist")
    erase(storage, "first")
    assert study_names(storage) == ()
