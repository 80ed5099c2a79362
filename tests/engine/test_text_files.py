"""Texts that models wrote: warm equals cold, stopped equals whole, half lines are made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import Paused
from autokd.engine import text_files
from autokd.engine.text_files import Rewrite, written_texts
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_task

TEXTS = [f"text {i}\nof\u2028two {'lines' if i % 2 else 'äöü'}" for i in range(150)]


def context(root: Path, **changes: Any) -> Any:
    return tiny_context(root, tiny_task(), "basics:Distil", **changes)


class Upper:
    """A rewriting that notes what it was asked for."""

    def __init__(self) -> None:
        self.loaded, self.starts = 0, list[int]()

    def load(self) -> Rewrite:
        self.loaded += 1
        return self.rewrite

    def rewrite(self, texts: Sequence[str], start: int) -> list[str]:
        self.starts.append(start)
        return [f"{start + i}: {text.upper()}" for i, text in enumerate(texts)]


EXPECTED = tuple(f"{i}: {text.upper()}" for i, text in enumerate(TEXTS))


def test_a_warm_cache_equals_a_cold_one_and_loads_nothing(tmp_path: Path) -> None:
    upper = Upper()
    assert written_texts(TEXTS, ["upper", 1], upper.load, context(tmp_path)) == EXPECTED
    assert written_texts(TEXTS, ["upper", 1], upper.load, context(tmp_path)) == EXPECTED
    assert upper.loaded == 1
    assert upper.starts == [0, 64, 128]


@pytest.mark.parametrize("changed", [(TEXTS, ["upper", 2]), ([*TEXTS[:-1], "another"], ["upper", 1])])
def test_other_keys_and_other_texts_are_other_files(tmp_path: Path, changed: Any) -> None:
    upper = Upper()
    written_texts(TEXTS, ["upper", 1], upper.load, context(tmp_path))
    written_texts(*changed, upper.load, context(tmp_path))
    assert upper.loaded == 2
    assert len(list((tmp_path / "cache" / "texts").glob("*.jsonl"))) == 2


def stopping(at: int) -> Callable[[], bool]:
    calls = count(1)
    return lambda: next(calls) == at


def test_what_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    upper = Upper()
    with pytest.raises(Paused):
        written_texts(TEXTS, "k", upper.load, context(tmp_path, should_pause=stopping(2)))
    assert upper.starts == [0]
    assert not list((tmp_path / "cache" / "texts").glob("*.jsonl"))
    assert written_texts(TEXTS, "k", upper.load, context(tmp_path)) == EXPECTED
    assert upper.starts == [0, 64, 128]


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_half_a_chunk_is_made_again(tmp_path: Path, kept: float) -> None:
    upper = Upper()
    with pytest.raises(Paused):
        written_texts(TEXTS, "k", upper.load, context(tmp_path, should_pause=stopping(3)))
    (part,) = (tmp_path / "cache" / "texts").glob("*.part")
    whole = part.read_text(encoding="utf-8")
    part.write_text(whole[: int(kept * len(whole))], encoding="utf-8")
    assert written_texts(TEXTS, "k", upper.load, context(tmp_path)) == EXPECTED


def test_who_waits_for_another_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "cache" / "texts").mkdir(parents=True)
    ctx = context(tmp_path, should_pause=lambda: True)
    upper = Upper()
    with pytest.raises(Paused, match="at 0 of"):
        written_texts(TEXTS, "k", upper.load, ctx)
    (lock,) = (tmp_path / "cache" / "texts").glob("*.lock")
    with (
        text_files.held(lock, lambda: False, "texts"),
        pytest.raises(Paused, match="while another worker computes texts"),
    ):
        written_texts(TEXTS, "k", upper.load, ctx)
