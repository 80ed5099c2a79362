"""Numbers in a file: computed once, whoever asks, and never lost but for the one that was being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import Paused
from autokd.engine.kept_numbers import kept_numbers
from tests.engine.parts import never


def dear() -> float:
    raise AssertionError("this number is known")


def test_a_number_is_computed_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "numbers.jsonl"
    with kept_numbers(file, never, "numbers") as kept:
        assert [kept.of((name, 2), lambda: 0.5) for name in "aab"] == [0.5] * 3
    assert file.read_text() == '["a", 2, 0.5]\n["b", 2, 0.5]\n'
    with kept_numbers(file, never, "numbers") as kept:
        assert kept.of(("b", 2), dear) == 0.5


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    file = tmp_path / "numbers.jsonl"
    file.write_text('["a", 0.25]\n["b", 0.')
    with kept_numbers(file, never, "numbers") as kept:
        assert kept.of(("a",), dear) == 0.25
        assert kept.of(("b",), lambda: 0.75) == 0.75
    assert file.read_text() == '["a", 0.25]\n["b", 0.75]\n'


def test_it_stops_before_a_number_that_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "numbers.jsonl"
    file.write_text('["a", 0.25]\n')
    with kept_numbers(file, lambda: True, "numbers") as kept:
        assert kept.of(("a",), dear) == 0.25
        with pytest.raises(Paused, match="after 1 numbers"):
            kept.of(("b",), dear)
