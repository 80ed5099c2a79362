from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autokd.cli.main import cli
from autokd.cli.search import command_line
from autokd.cli.studies import studies
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serach"], "No such command"),
        (["search", "--budget", "1min"], "--dataset"),
        (["search", "--dataset", "pydocs", "--budget", "lots"], "a budget is a number and a unit"),
        (["search", "--dataset", "pydocs", "--budget", "1min", "--space", "nothing"], "unknown search space 'nothing'"),
        (["search", "--dataset", "pydocs", "--budget", "1min", "-v", "-q"], "one of -v and -q"),
        (["search", "--dataset", "pydocs", "--budget", "1min", "--objectives", "speed"], "objective 'speed'"),
        (["search", "--dataset", "pydocs", "--budget", "1min", "--constraint", "params=1"], "NAME<=NUMBER"),
        (["studies", "--storage", "mongodb://here"], "a storage is"),
        (["check", "missing.yaml"], "missing.yaml"),
        (["train", "missing.json", "--dataset", "pydocs", "--output", "x"], "missing.json"),
    ],
)
def test_what_cannot_be_meant_exits_with_2_and_says_why(autokd: Autokd, arguments: list[str], told: str) -> None:
    ran = autokd(*arguments)
    assert ran.code == 2
    assert told in ran.err
    assert ran.out == ""


@pytest.mark.parametrize("verb", [["resume"], ["studies", "show"], ["report"]], ids=" ".join)
def test_an_unknown_study_is_one_of_usage_and_those_there_are_listed(
    searched: Ran, autokd: Autokd, verb: list[str]
) -> None:
    ran = autokd(*verb, "frist")
    assert ran.code == 2
    assert "unknown study 'frist'. Did you mean 'first'?" in ran.err


def test_what_goes_wrong_while_running_exits_with_1(autokd: Autokd, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("this is no database")
    ran = autokd("studies", "--storage", f"sqlite:///{tmp_path}/broken.db")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1


def test_a_traceback_is_shown_only_where_it_was_asked_for(autokd: Autokd) -> None:
    assert "Traceback" not in autokd("check", "missing.yaml").err
    assert "Traceback" in autokd("check", "missing.yaml", "--debug").err
    assert "Traceback" in autokd("--debug", "check", "missing.yaml").err


def test_what_was_typed_is_kept_without_passwords() -> None:
    words = ["/bin/autokd", "search", "--storage=postgresql://me:secret@db/x", "--study", "a b"]
    assert command_line(words) == "autokd search '--storage=postgresql://me:***@db/x' --study 'a b'"


def test_options_of_the_group_hold_for_its_commands(autokd: Autokd, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/none.db"
    assert autokd("studies", "--storage", storage, "--json", "list").json == []
    assert "No studies" in autokd("studies", "--storage", storage, "list").err
    shown = autokd("studies", "--storage", storage, "show", "first")
    assert "none.db" in shown.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serach"], "No such command 'serach'. Did you mean 'search'? (see autokd --help)"),
        (["studies", "shw"], "Did you mean 'show'? (see autokd studies --help)"),
        (
            ["search", "--datset", "x"],
            "No such option '--datset'. Did you mean '--dataset'? (see autokd search --help)",
        ),
        (["search", "--runner", "rey"], "'rey' is not one of 'ray', 'pool'. Did you mean 'ray'?"),
        (["export", "first"], "Missing option '--output'. (see autokd export --help)"),
        (["search", "--dataset", "x", "--budget", "1min", "--seed", "x"], "'x' is not a valid integer"),
    ],
)
def test_a_wrong_word_is_told_in_one_line_with_the_nearest_right_one(
    autokd: Autokd, arguments: list[str], told: str
) -> None:
    ran = autokd(*arguments)
    assert ran.code == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("words", [[name] for name in cli.commands] + [["studies", name] for name in studies.commands])
def test_every_command_has_help_with_examples(autokd: Autokd, words: list[str]) -> None:
    ran = autokd(*words, "--help")
    assert ran.code == 0
    assert f"autokd {' '.join(words)}" in ran.out.partition("Examples:")[2]


def test_help_lists_every_command(autokd: Autokd) -> None:
    ran = autokd("--help")
    assert ran.code == 0
    for command in cli.commands:
        assert f"  {command} " in ran.out


def test_an_empty_storage_has_no_studies(autokd: Autokd, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/none.db"
    assert autokd("studies", "--json", "--storage", storage).json == []
    assert not (tmp_path / "none.db").exists()
