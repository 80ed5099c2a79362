from __future__ import annotations

import shlex
from dataclasses import replace

from autokd.core.result import StudyResult
from autokd.core.settings import DataSource
from autokd.report.about import amounts, budget_line, environment, reproduce


def test_the_budget_is_told_in_the_units_it_was_written_in(result: StudyResult) -> None:
    both = replace(result, settings=replace(result.settings, budget="0.5cpu-h, 10min"))
    hours, minutes = amounts(both)
    assert (hours.limit, hours.unit, hours.scale) == (0.5, "cpu-h", 3600.0)
    assert hours.spent == 590 / 3600
    assert (minutes.limit, minutes.spent, minutes.unit) == (10.0, 5.0, "min")
    assert budget_line(result) == "9.833 of 10 cpu-min (98%)"


def test_commands_name_storage_and_data_so_that_they_run_as_they_stand(result: StudyResult) -> None:
    data = DataSource("my file.csv", data_dir="/data", label_column="topic")
    settings = replace(result.settings, data=data)
    commands = dict(reproduce(replace(result, settings=settings, storage="sqlite:///a b.db")))
    assert commands["Repeat the search"] == "autokd search --dataset pydocs --budget 10cpu-min"
    again = shlex.split(commands["Write this report again"])
    assert again == ["autokd", "report", "pydocs-2026", "--storage", "sqlite:///a b.db", "--output", "report.html"]
    (train,) = [shlex.split(c) for c in commands.values() if c.startswith("autokd train")]
    assert train[3:] == [
        "--dataset", "my file.csv", "--data-dir", "/data", "--label-column", "topic", "--output", "student",
    ]  # fmt: skip


def test_passwords_are_in_no_command(result: StudyResult) -> None:
    command = "autokd search --storage 'postgresql://me:secret@db/x?password=secret' --dataset pydocs"
    settings = replace(result.settings, command=command)
    told = dict(reproduce(replace(result, settings=settings, storage="postgresql://me:secret@db/x")))
    assert not any("secret" in text for text in told.values())
    assert shlex.split(told["Repeat the search"])[-2:] == ["--dataset", "pydocs"]
    assert "postgresql://me:***@db/x" in told["Write this report again"]


def test_training_alone_is_told_what_the_study_changed(result: StudyResult) -> None:
    settings = replace(result.settings, seed=7, max_length=64, method_files=("/m/one.py", "/m/two.py"))
    (train,) = [c for _, c in reproduce(replace(result, settings=settings)) if c.startswith("autokd train")]
    assert "--methods /m/one.py --methods /m/two.py --max-length 64 --seed 7 --output" in train


def test_the_data_of_the_command_are_all_that_was_given(result: StudyResult) -> None:
    data = DataSource("owner/name", subset="en", unlabelled="more.txt")
    settings = replace(result.settings, data=data, trust_remote_code=True)
    (train,) = [c for _, c in reproduce(replace(result, settings=settings)) if c.startswith("autokd train")]
    assert "--dataset owner/name --subset en --unlabelled more.txt --trust-remote-code --output" in train


def test_the_best_student_is_exported_in_its_fastest_form(result: StudyResult) -> None:
    def export(study: StudyResult) -> list[str]:
        return [c for _, c in reproduce(study) if c.startswith("autokd export")]

    fast = replace(result.front[0], fastest="onnx-int8")
    assert export(result) == ["autokd export pydocs-2026 --output my-student"]
    assert export(replace(result, front=(fast,))) == [
        "autokd export pydocs-2026 --format onnx-int8 --output my-student"
    ]
    assert export(replace(result, front=())) == []


def test_machines_that_differ_are_all_listed(result: StudyResult) -> None:
    other = replace(result.records[1], environment={"torch": "2.14.0", "gpu": "H200"})
    found = environment(replace(result, records=(result.records[0], other)))
    assert found == {"python": "3.11.7", "torch": "2.13.0, 2.14.0", "gpu": "H200"}
