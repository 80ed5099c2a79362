"""A project's folder that was moved: its studies are there, with everything that can be done with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autokd.cli import main
from autokd.store.study_store import StudyStore
from autokd.study.add_budget import add_budget
from autokd.study.places import Places
from autokd.study.study import run
from tests.cli.conftest import Ran
from tests.cli.small_study import STORAGE, STUDY, in_process

Autokd = Callable[..., Ran]


@pytest.fixture
def moved(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A finished study whose folder was made elsewhere, and is gone from there."""
    first, there = tmp_path / "first", tmp_path / "there"
    shutil.copytree(kept, first)
    for text in first.rglob("*.json"):
        assert str(kept / "studies") not in text.read_text(encoding="utf-8"), f"{text} names where it was made"
    shutil.move(kept, kept.with_name("away"))
    shutil.move(first, there)
    monkeypatch.chdir(there)
    yield there
    shutil.move(kept.with_name("away"), kept)


@pytest.fixture
def command(moved: Path, capfd: pytest.CaptureFixture[str]) -> Autokd:
    """Runs a command where the study is now."""

    def ran(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return ran


def test_a_moved_study_is_shown_reported_and_exported(command: Autokd, moved: Path, tmp_path: Path) -> None:
    shown = command("studies", "show", STUDY, "--json").json
    checkpoint = Path(shown["front"][0]["checkpoint"])
    assert checkpoint.is_relative_to(moved)
    assert (checkpoint / "config.json").is_file()
    assert command("report", STUDY, "--output", str(tmp_path / "report.html")).code == 0
    ran = command("export", STUDY, "--output", str(tmp_path / "student"), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["worst_difference"] == 0.0
    ran = command("studies", "export", STUDY, "--output", str(tmp_path / "study.zip"), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["n_checkpoints"] >= 2
    assert ran.json["notes"] == []
    ran = command("studies", "import", str(tmp_path / "study.zip"), "--as", "again", "--json")
    assert ran.code == 0, ran.err
    assert command("export", "again", "--output", str(tmp_path / "another")).code == 0


def test_a_moved_study_goes_on(moved: Path) -> None:
    before = StudyStore.open(STORAGE, STUDY).records()
    add_budget(STORAGE, STUDY, "1trials")
    study = run(StudyStore.open(STORAGE, STUDY), runner=in_process())
    assert study.finished
    assert study.states["failed"] == 0
    assert len(study.records) > len(before)
    for finalist in study.front:
        assert Path(finalist.checkpoint).is_relative_to(moved)


def test_a_moved_study_whose_cache_is_gone_makes_its_teacher_again(moved: Path) -> None:
    places = Places(StudyStore.open(STORAGE, STUDY).files, STUDY)
    shutil.rmtree(places.cache)
    add_budget(STORAGE, STUDY, "1trials")
    study = run(StudyStore.open(STORAGE, STUDY), runner=in_process())
    assert study.states["failed"] == 0
    assert any(places.cache.glob("prefixes/*/prefix.json"))


def test_a_teacher_outlives_the_study_that_made_it(command: Autokd, moved: Path, tmp_path: Path) -> None:
    assert command("studies", "export", STUDY, "--output", str(tmp_path / "study.zip")).code == 0
    storage = f"sqlite:///{tmp_path}/other.db"
    for name in ("one", "two"):
        command("studies", "import", str(tmp_path / "study.zip"), "--as", name, "--storage", storage)
        add_budget(storage, name, "1trials")
    cache = Places(StudyStore.open(storage, "one").files, "one").cache
    assert run(StudyStore.open(storage, "one"), runner=in_process()).states["failed"] == 0
    (prefix,) = cache.glob("prefixes/*/prefix.json")
    before = prefix.stat().st_mtime_ns
    assert command("studies", "delete", "one", "--yes", "--storage", storage).code == 0
    study = run(StudyStore.open(storage, "two"), runner=in_process())
    assert study.states["failed"] == 0
    assert prefix.stat().st_mtime_ns == before  # the very one that the other study had made


def test_an_archive_without_a_students_checkpoint_is_refused_or_asked_for(
    command: Autokd, moved: Path, tmp_path: Path
) -> None:
    shown = command("studies", "show", STUDY, "--json").json
    shutil.rmtree(shown["front"][0]["checkpoint"])
    ran = command("studies", "export", STUDY, "--output", str(tmp_path / "study.zip"))
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "is gone from disk" in ran.err
    assert not (tmp_path / "study.zip").exists()
    ran = command("studies", "export", STUDY, "--output", str(tmp_path / "study.zip"), "--allow-missing", "--json")
    assert ran.code == 0
    assert "is gone from disk" in ran.json["notes"][0]
    assert command("studies", "import", str(tmp_path / "study.zip"), "--as", "again").code == 0
    ran = command("export", "again", "--output", str(tmp_path / "student"))
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1


def test_a_study_does_not_go_on_where_its_files_are_not(command: Autokd, moved: Path, tmp_path: Path) -> None:
    add_budget(STORAGE, STUDY, "1trials")
    before = StudyStore.open(STORAGE, STUDY).records()
    ran = command("resume", STUDY, "--runner", "pool", "--artifacts", str(tmp_path / "elsewhere"))
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "--artifacts says where they are" in ran.err
    assert StudyStore.open(STORAGE, STUDY).records() == before
