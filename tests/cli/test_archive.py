from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/other.db"


@pytest.fixture
def imported(searched: Ran, autokd: Autokd, tmp_path: Path, storage: str) -> Ran:
    assert autokd("studies", "export", "first", "--output", str(tmp_path / "first.zip")).code == 0
    ran = autokd("studies", "import", str(tmp_path / "first.zip"), "--as", "second", "--storage", storage)
    assert ran.code == 0, ran.err
    return ran


def test_a_study_goes_from_one_storage_to_another_and_its_students_with_it(
    searched: Ran, imported: Ran, autokd: Autokd, tmp_path: Path, storage: str
) -> None:
    assert f"autokd studies show second --storage {storage}" in imported.out
    shown = autokd("studies", "show", "second", "--storage", storage, "--json").json
    scores = [(each["trial"], each["test_score"]) for each in shown["front"]]
    assert scores == [(each["trial"], each["test_score"]) for each in searched.json["front"]]
    given = ("--storage", storage, "--json")
    made = autokd("export", "second", "--format", "onnx-int8", "--output", str(tmp_path / "student"), *given)
    assert made.code == 0, made.err
    assert made.json["form"] == "onnx-int8"


def test_deleting_asks_or_is_told_yes(imported: Ran, autokd: Autokd, storage: str) -> None:
    asked = autokd("studies", "delete", "second", "--storage", storage)
    assert asked.code == 2
    assert "say --yes" in asked.err
    done = autokd("studies", "delete", "second", "--yes", "--storage", storage)
    assert done.code == 0
    assert done.out.startswith("deleted second: ")
    assert autokd("studies", "--storage", storage, "--json").json == []
    assert autokd("studies", "delete", "second", "--yes", "--storage", storage).code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "frist", "--output", "x.zip"], "Did you mean 'first'?"),
        (["export", "first", "--output", "nowhere/x.zip"], "folder must exist"),
        (["import", "nothing.zip"], "must be a file that exists"),
        (["import", "mine.csv"], "is no archive"),
        (["delet", "first"], "Did you mean 'delete'?"),
    ],
)
def test_errors_are_one_line(searched: Ran, autokd: Autokd, arguments: list[str], told: str) -> None:
    ran = autokd("studies", *arguments)
    assert ran.code in (1, 2)
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_budget_is_shown_and_added_to(imported: Ran, autokd: Autokd, storage: str) -> None:
    given = ("--storage", storage)
    assert autokd("budget", "second", *given).out.startswith("second: 2 of 2 trials")
    assert "2 of 5 trials" in autokd("budget", "second", "--add", "3trials", *given).out
    assert autokd("budget", "second", *given, "--json").json["limits"] == [
        {"limit": 5.0, "spent": 2.0, "unit": "trials"}
    ]
    wrong = autokd("budget", "second", "--add", "2gpu-h", *given)
    assert wrong.code == 2
    assert len(wrong.err.splitlines()) == 1


def test_a_pipeline_waits_for_its_study(
    searched: Ran, imported: Ran, autokd: Autokd, tmp_path: Path, storage: str
) -> None:
    import json

    (tmp_path / "mine.json").write_text(json.dumps(searched.json["controls"][0]["pipeline"] | {"form": "onnx-int8"}))
    ran = autokd("enqueue", "second", str(tmp_path / "mine.json"), "--storage", storage, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["running"] is False
    assert Path(ran.json["file"]).is_file()
    again = autokd("enqueue", "second", str(tmp_path / "mine.json"), "--storage", storage)
    assert again.code == 2
    (tmp_path / "broken.json").write_text("{")
    assert autokd("enqueue", "second", str(tmp_path / "broken.json"), "--storage", storage).code == 2
