"""Paths in a storage: what is written, and what is read after the storage and its files were moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autokd.core.settings import StudySettings
from autokd.store import StudyStore
from autokd.store.backend import connect
from autokd.store.files import files_root

PIPELINE = {"stages": [{"use": "x:Y", "checkpoint": "/a/field/of/a/method"}], "form": "float32"}
VALUES = {"valid_score": 0.5, "macs": 1e6}


@pytest.fixture
def filled(storage: str, settings: StudySettings) -> Callable[..., StudyStore]:
    """A study with paths wherever there are any, inside of the folder of its files and outside."""

    def make(artifacts: str | None = None) -> StudyStore:
        root = files_root(storage, artifacts)
        folder = root / "studies" / "first" / "trials" / "0"
        for path in (folder / "checkpoint", folder / "predictions", root / "tasks" / "x", root / "models" / "m"):
            path.mkdir(parents=True)
        changes = {"task": str(root / "tasks" / "x"), "assets": {"m": str(root / "models" / "m"), "o": "/outside/o"}}
        store = StudyStore.create(storage, settings.with_changes(**changes), (), artifacts)
        store.start(PIPELINE)
        predictions = {"valid": str(folder / "predictions"), "test": "/outside/test"}
        store.finish(0, values=VALUES, checkpoint=str(folder / "checkpoint"), predictions=predictions)
        form = {"runtime": "onnx", "folder": str(folder / "onnx")}
        store.put("result", {"front": [{"checkpoint": str(folder / "checkpoint"), "forms": [form]}]})
        return store

    return make


def _text(store: StudyStore) -> str:
    """All that the storage holds of a study."""
    backend = connect(store.storage, create=False)
    study = backend.get_study_id_from_name("first")
    return repr([backend.get_study_user_attrs(study), [t.user_attrs for t in backend.get_all_trials(study)]])


def _paths(store: StudyStore) -> dict[str, str]:
    (record,) = store.records()
    front = store.get("result")["front"][0]
    found = {"checkpoint": record.checkpoint, "valid": record.predictions["valid"], "front": front["checkpoint"]}
    return {**found, "form": front["forms"][0]["folder"], "task": store.settings.task, **store.settings.assets}


def test_what_lies_in_the_folder_of_files_is_kept_relative_to_it(filled: Callable[..., StudyStore]) -> None:
    store = filled()
    text, here = _text(store), str(Path.cwd())
    assert here not in text
    assert "'studies/first/trials/0/checkpoint'" in text
    assert "/outside/test" in text
    assert _paths(store) == _paths(StudyStore.open(store.storage, "first"))
    assert all(Path(path).is_absolute() for path in _paths(store).values())
    assert store.records()[0].pipeline == PIPELINE


@pytest.mark.parametrize("artifacts", [None, "studies/art"])
def test_a_moved_storage_finds_its_files(
    filled: Callable[..., StudyStore], artifacts: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, here = _paths(filled(artifacts)), str(Path.cwd())
    Path("../there").mkdir()
    shutil.move("studies", "../there/studies")
    monkeypatch.chdir("../there")
    storage = next(str(path) for path in Path("studies").iterdir() if path.suffix in (".db", ".journal"))
    after = _paths(StudyStore.open(storage, "first"))
    assert after == {name: path.replace(here, str(Path.cwd())) for name, path in before.items()}
    assert all(Path(path).exists() for name, path in after.items() if name not in ("o", "form"))


def test_absolute_paths_of_older_records_are_found_by_their_tails(
    filled: Callable[..., StudyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        for module in ("autokd.store.study_store", "autokd.store.transfer"):
            older.setattr(f"{module}.portable", lambda value, root: value)
        before = _paths(filled())
        assert str(Path.cwd()) in _text(StudyStore.open(_only_storage(), "first"))
    assert _paths(StudyStore.open(_only_storage(), "first")) == before
    shutil.move("studies", "../moved")
    monkeypatch.chdir("..")
    store = StudyStore.open(f"moved/{Path(_only_storage('moved')).name}", "first")
    after: dict[str, Any] = _paths(store)
    for name in ("checkpoint", "valid", "front", "task", "m"):
        assert Path(after[name]).is_relative_to(store.files)
        assert Path(after[name]).exists()
    assert after["form"] == before["form"]  # it is nowhere
    assert after["o"] == "/outside/o"


def _only_storage(folder: str = "studies") -> str:
    return next(str(path) for path in Path(folder).iterdir() if path.suffix in (".db", ".journal"))
