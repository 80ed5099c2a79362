from __future__ import annotations

from typing import Any

import click
from click.testing import CliRunner

from autokd.cli import options
from autokd.core.settings import DataSource


def source(*words: str) -> DataSource:
    found: list[DataSource] = []

    @click.command()
    @options.data
    def command(**given: Any) -> None:
        found.append(options.take_source(given))
        assert not given

    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_every_option_of_the_data_arrives() -> None:
    words = "--dataset owner/name --subset a --unlabelled more.txt --metric m.py:f --data-dir d --text-column t"
    given = source(*words.split(), "--text-pair-column", "u", "--label-column", "l")
    assert given == DataSource("owner/name", "d", "t", "u", "l", "m.py:f", "a", "more.txt")


def test_only_the_data_set_is_needed() -> None:
    assert source("--dataset", "rte", "--data-dir", "d") == DataSource("rte", "d")
