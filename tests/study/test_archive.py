"""Studies as files: out of one storage, into another, and what is refused on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import StorageError, UsageError
from autokd.core.holes import Choice, Range
from autokd.core.settings import DataSource, StudySettings
from autokd.core.task import Split, Task
from autokd.store.files import files_root
from autokd.store.study_store import StudyStore
from autokd.store.transfer import study_names
from autokd.study.archive import export_study, import_study
from autokd.study.archive_file import MANIFEST, STUDY
from autokd.study.delete import delete_study
from autokd.study.memory import Memory
from autokd.study.places import Places
from autokd.study.result import read_result
from autokd.tasks.frozen import freeze, thaw

HERE, THERE = "journal:///here/studies.journal", "journal:///there/studies.journal"
HOLES = (Choice("layers", (1, 2)), Range("lr", 1e-5, 1e-3, log=True))
ROWS = Split(("a", "b", "c"), None, (0, 1, 0))
TASK = Task("mine", ROWS, ROWS, ROWS, ("bad", "good"), "classification", "accuracy")
VALUES = {"valid_score": 0.8, "params": 1e6, "macs": 1e7, "size_bytes": 4e6}


def _settings(root: Path, **changes: Any) -> StudySettings:
    task, model = root / "tasks" / "some-digest", root / "models" / "minilm-12345678"
    freeze(TASK, task)
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"teacher")
    made = StudySettings(
        study="first",
        data=DataSource("mine.csv"),
        task=str(task),
        task_name="mine",
        metric="accuracy",
        space_name="small",
        space_text="stages: []",
        teachers=("minilm",),
        assets={"minilm": str(model)},
        budget="10trials",
    )
    return replace(made, **changes)


def _trained(places: Places, number: int) -> dict[str, Any]:
    """What a trial leaves in its folder, and what its record says of it."""
    folder = places.trial(number)
    for form, weights in (("checkpoint", "model.safetensors"), ("onnx-int8", "model.onnx")):
        (folder / form).mkdir(parents=True)
        (folder / form / "config.json").write_text(json.dumps({"of": number}))
        (folder / form / weights).write_bytes(bytes([number]) * 1000)
    (folder / "predictions").mkdir()
    (folder / "predictions" / "valid.safetensors").write_bytes(b"logits")
    named = {"valid": str(folder / "predictions" / "valid.safetensors")}
    return {"values": VALUES, "checkpoint": str(folder / "checkpoint"), "predictions": named}


@pytest.fixture
def study() -> StudyStore:
    """A finished study: trial 0 on the front, trial 1 dominated, trial 2 failed, trial 3 paused."""
    root = files_root(HERE)
    store = StudyStore.create(HERE, _settings(root), HOLES)
    places = Places(root, "first")
    pipelines = [
        {"stages": [{"use": "x:Y", "folder": "/not/ours", "lr": lr}], "form": "float32"} for lr in (1, 2, 3, 4)
    ]
    for number, pipeline in enumerate(pipelines):
        store.start(pipeline, {"layers": 1 + number % 2, "lr": 1e-4})
    kept = _trained(places, 0)
    store.finish(0, **kept, device_seconds=5.0)
    store.finish(1, **{**_trained(places, 1), "values": {**VALUES, "valid_score": 0.7}})
    store.finish(2, "failed", error="the loss is not finite")
    store.pause(3, checkpoint=str(places.trial(3) / "loop-0"))
    front = {
        "trial": 0, "pipeline": pipelines[0], "valid_score": 0.8, "test_score": 0.79, "test_low": 0.7, "test_high": 0.9,
        "params": 1e6, "macs": 1e7, "checkpoint": kept["checkpoint"], "n_seeds": 1,
    }  # fmt: skip
    Memory(store).keep_result({"front": [front], "controls": [], "importances": {}})
    return store


@pytest.fixture
def archive(study: StudyStore) -> Path:
    export_study(HERE, "first", Path("first.zip"))
    return Path("first.zip")


def _facts(storage: str, name: str) -> list[Any]:
    """What must survive the journey, but for paths."""
    found = read_result(storage, name)
    records = [replace(r, checkpoint="", predictions={}) for r in found.records]
    return [found.front[0].pipeline, found.front[0].test_score, records, found.settings.budget, found.states]


def test_a_study_arrives_as_it_left(archive: Path) -> None:
    import_study(THERE, archive)
    assert _facts(THERE, "first") == _facts(HERE, "first")
    found, root = read_result(THERE, "first"), Places(files_root(THERE), "first").folder
    checkpoint = Path(found.front[0].checkpoint)
    assert checkpoint.is_relative_to(root)
    assert (checkpoint / "model.safetensors").read_bytes() == bytes(1000)
    assert (checkpoint.parent / "onnx-int8" / "model.onnx").read_bytes() == bytes(1000)
    assert Path(found.records[1].predictions["valid"]).read_bytes() == b"logits"
    assert found.records[1].checkpoint == ""  # it was off the frontier and stayed behind
    assert thaw(Path(found.settings.task)) == TASK
    assert (Path(found.settings.assets["minilm"]) / "model.safetensors").read_bytes() == b"teacher"
    assert found.records[0].pipeline["stages"][0]["folder"] == "/not/ours"  # a method's own field is no path of ours


def test_an_imported_study_can_be_exported_and_imported_again(archive: Path) -> None:
    import_study(THERE, archive, "second")
    export_study(THERE, "second", Path("second.zip"))
    import_study(HERE, Path("second.zip"))
    assert _facts(HERE, "second") == _facts(HERE, "first")


def test_the_archive_names_nothing_of_the_machine_it_came_from(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        text = file.read(STUDY).decode()
        assert not [name for name in file.namelist() if name.endswith((".pkl", ".pt", ".bin", ".py"))]
    assert str(Path.cwd()) not in text


def test_a_name_that_is_taken_needs_another(archive: Path) -> None:
    with pytest.raises(UsageError, match="'first' exists; give this one another with --as"):
        import_study(HERE, archive)
    import_study(HERE, archive, "copy")
    assert study_names(HERE) == ("copy", "first")


def test_a_study_that_runs_is_neither_exported_nor_deleted(study: StudyStore) -> None:
    with study.lock():
        for act in (lambda: export_study(HERE, "first", Path("x.zip")), lambda: delete_study(HERE, "first")):
            with pytest.raises(StorageError, match="is being run by process"):
                act()
    assert not Path("x.zip").exists()
    assert study_names(HERE) == ("first",)


def test_an_archive_is_never_written_over_something(study: StudyStore) -> None:
    Path("there.zip").write_text("mine")
    with pytest.raises(UsageError, match="is a new file, but"):
        export_study(HERE, "first", Path("there.zip"))
    assert Path("there.zip").read_text() == "mine"


def test_code_does_not_travel(study: StudyStore) -> None:
    Path("mine.py").write_text("x = 1")
    study.update_settings(study.settings.with_changes(method_files=(str(Path("mine.py").resolve()),)))
    assert "mine.py" in export_study(HERE, "first", Path("x.zip")).notes[0]
    found = import_study(THERE, Path("x.zip"))
    assert "mine.py" in found.notes[0]
    assert read_result(THERE, "first").settings.method_files == ()
    import_study(THERE, Path("x.zip"), "with mine", method_files=("/my/own.py",))
    assert read_result(THERE, "with mine").settings.method_files == ("/my/own.py",)


def test_trust_is_not_imported(study: StudyStore) -> None:
    study.update_settings(study.settings.with_changes(trust_remote_code=True, address="head:6379"))
    export_study(HERE, "first", Path("x.zip"))
    import_study(THERE, Path("x.zip"))
    found = read_result(THERE, "first").settings
    assert (found.trust_remote_code, found.address) == (False, None)


# ---------------------------------------------------------------------------------------------- broken and unsafe ones

Change = Callable[[dict[str, bytes]], None]


def _rewritten(archive: Path, change: Change, *, honest: bool = True) -> Path:
    """The archive with its members changed; ``honest``: the manifest then tells the truth about them."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    if honest:
        told = json.loads(members[MANIFEST])
        told["files"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in members.items()
            if name != MANIFEST
        }
        members[MANIFEST] = json.dumps(told).encode()
    made = Path("changed.zip")
    with zipfile.ZipFile(made, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return made


def _add(name: str) -> Change:
    return lambda members: members.update({name: b"x"})


def _set(*path: Any, to: Any) -> Change:
    """Change one value in the study's text."""

    def change(members: dict[str, bytes]) -> None:
        value = json.loads(members[STUDY])
        place = value
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        members[STUDY] = json.dumps(value).encode()

    return change


UNSAFE = {
    "parent": _add("trials/../../evil.json"),
    "absolute": _add("/tmp/evil.json"),
    "backslash": _add("trials\\..\\evil.json"),
    "drive": _add("C:/evil.json"),
    "elsewhere": _add("locks/evil.json"),
    "dot": _add("trials/./evil.json"),
    "pickle": _add("trials/0/checkpoint/pytorch_model.bin"),
    "code": _add("trials/0/checkpoint/modeling.py"),
    "missing task": lambda members: members.pop("frozen/task/task.json.gz"),
    "checkpoint outside": _set("trials", 0, "user", "outcome", "checkpoint", to="/etc"),
    "checkpoint above": _set("trials", 0, "user", "outcome", "checkpoint", to="@study/../../other"),
    "predictions outside": _set("trials", 0, "user", "outcome", "predictions", to={"valid": "/etc/passwd"}),
    "asset outside": _set("attributes", "settings", "assets", to={"minilm": "/home/me/models"}),
    "task outside": _set("attributes", "settings", "task", to="/home/me/tasks/x"),
    "front outside": _set("attributes", "result", "front", 0, "checkpoint", to="/etc"),
    "another metric": _set("attributes", "settings", "metric", to="f1"),
    "any file as a metric": _set("attributes", "settings", "metric", to="/tmp/evil.py:run"),
    "newer settings": _set("attributes", "settings", "from_the_future", to=1),
    "newer schema": _set("attributes", "schema", to=99),
    "no trials": _set("trials", to=None),
    "trials out of order": _set("trials", 0, "number", to=7),
    "a value out of its hole": _set("trials", 0, "params", "layers", to=9),
}


@pytest.mark.parametrize("change", UNSAFE.values(), ids=UNSAFE)
def test_unsafe_archives_are_refused_and_leave_nothing(archive: Path, change: Change) -> None:
    made = _rewritten(archive, change)
    with pytest.raises(StorageError) as told:
        import_study(THERE, made)
    assert len(str(told.value).splitlines()) == 1
    assert not Path("there/studies.journal").exists() or study_names(THERE) == ()
    assert [path for path in files_root(THERE).rglob("*") if path.is_file() and path.parent.name != "locks"] == []
    assert not Path("/tmp/evil.json").exists()


@pytest.mark.parametrize("name", ["trials/0/checkpoint/model.safetensors", STUDY])
def test_a_changed_file_is_noticed(archive: Path, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[name] = members[name][:-1] + b"!"

    with pytest.raises(StorageError, match="must have the content that its manifest names"):
        import_study(THERE, _rewritten(archive, change, honest=False))


def test_a_file_that_unpacks_to_more_than_it_says_is_stopped(archive: Path) -> None:
    made = _rewritten(archive, lambda members: members.update({"trials/0/bomb.json": bytes(10_000)}))
    with zipfile.ZipFile(made) as file:
        told = json.loads(file.read(MANIFEST))
    told["files"]["trials/0/bomb.json"]["size"] = 10
    lying = _rewritten(made, lambda members: members.update({MANIFEST: json.dumps(told).encode()}), honest=False)
    with pytest.raises(StorageError, match="must have the sizes"):
        import_study(THERE, lying)


def test_links_are_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("trials/0/link.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(StorageError, match="plain files only"):
        import_study(THERE, archive)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive at all"])
def test_what_is_no_archive_is_said_so(content: bytes) -> None:
    Path("some.zip").write_bytes(content)
    with pytest.raises(StorageError, match="is no archive that `autokd studies export` wrote"):
        import_study(THERE, Path("some.zip"))


def test_half_an_archive_is_no_archive(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(StorageError):
        import_study(THERE, archive)


def test_an_archive_that_does_not_fit_on_the_disk_is_refused_first(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 10

    monkeypatch.setattr("autokd.study.archive_file.shutil.disk_usage", lambda folder: Full())
    with pytest.raises(StorageError, match="must have room"):
        import_study(THERE, archive)


# ---------------------------------------------------------------------------------------------- kills

KILLED_AT = {
    "unpacking": ("autokd.study.archive_file", "_extract"),
    "before the folder has its name": ("autokd.study.archive", "write_json"),
    "before the records": ("autokd.study.archive", "restore"),
    "among the records": ("autokd.store.transfer", "new_study"),
}
IMPORT = """
import os, signal, sys
from pathlib import Path
from importlib import import_module
from autokd.study.archive import import_study
module = import_module(sys.argv[1])
whole = getattr(module, sys.argv[2])
def killed(*arguments, **named):
    if sys.argv[2] in ("_extract", "new_study"):
        whole(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, sys.argv[2], killed)
import_study(sys.argv[3], Path("first.zip"))
"""


@pytest.mark.parametrize(("module", "function"), KILLED_AT.values(), ids=KILLED_AT)
def test_an_import_that_is_killed_leaves_nothing_that_is_listed_and_can_be_repeated(
    archive: Path, module: str, function: str
) -> None:
    run = subprocess.run([sys.executable, "-c", IMPORT, module, function, THERE], env={**os.environ}, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not Path("there/studies.journal").exists() or study_names(THERE) == ()
    import_study(THERE, archive)
    assert _facts(THERE, "first") == _facts(HERE, "first")
    left = [path.name for path in (files_root(THERE) / "studies").iterdir()]
    assert left == [Places(files_root(THERE), "first").folder.name]


def test_an_export_that_is_killed_leaves_no_archive(study: StudyStore) -> None:
    code = IMPORT.replace("import_study(sys.argv[3], Path(\"first.zip\"))", (
        "from autokd.study.archive import export_study; export_study(sys.argv[3], 'first', Path('first.zip'))"
    ))  # fmt: skip
    command = [sys.executable, "-c", code, "autokd.study.archive_file", "_add_file", HERE]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not Path("first.zip").exists()
    assert export_study(HERE, "first", Path("first.zip")).n_checkpoints == 1


# ---------------------------------------------------------------------------------------------- deleting


def test_a_deleted_study_is_gone_with_all_its_files(study: StudyStore) -> None:
    found = delete_study(HERE, "first")
    assert (found.n_trials, found.is_last) == (4, True)
    assert study_names(HERE) == ()
    root = files_root(HERE)
    assert [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"] == []


def test_what_studies_share_stays_while_there_is_another(archive: Path) -> None:
    import_study(HERE, archive, "other")
    before = _facts(HERE, "other")
    delete_study(HERE, "first")
    assert _facts(HERE, "other") == before
    assert (files_root(HERE) / "models").is_dir()


def test_an_unknown_study_is_not_deleted(study: StudyStore) -> None:
    with pytest.raises(UsageError, match="Did you mean 'first'"):
        delete_study(HERE, "frist")
