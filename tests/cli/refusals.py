"""A command that must be refused, and what every refusal keeps to."""

from __future__ import annotations

import hashlib
import re
import shlex
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "secret"  # of every database in the tables
_STORAGE = "storage"
_PROGRESS = re.compile(r"stage \d+, step \d+: ")
_BARE = re.compile(r"autokd: \w*(Error|Exception|Interrupt)\b")
_CHANGING = ("locks", "lease")  # who holds a study at the moment is no part of its records


@dataclass(frozen=True)
class Refusal:
    """A command as it is typed and the words that its one line must hold.

    ``{bad}`` is the folder of bad files. ``code``: 2 for what cannot be meant, 1 for what goes wrong while running.
    """

    name: str
    command: str
    words: tuple[str, ...]
    code: int = 2

    def arguments(self, places: Mapping[str, Any]) -> list[str]:
        """The command's words, with the folders that it names."""
        return [word.format(**places) for word in shlex.split(self.command)]


def table(cases: Iterable[Refusal]) -> pytest.MarkDecorator:
    """Parametrises a test over cases."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in cases])


def check_line(err: str, words: Iterable[str]) -> None:
    """Standard error is one line, but for progress: the program's name, then a sentence that holds all of these words.

    It must not be the bare text of an exception, nor hold a password.
    """
    *progress, line = err.splitlines() or [""]
    assert all(_PROGRESS.match(text) for text in progress), err
    assert line.startswith("autokd: "), err
    assert not _BARE.match(line), err
    assert PASSWORD not in err
    for word in words:
        assert word in line, f"{word!r} is not in: {err}"


def state(folder: Path) -> dict[str, Any]:
    """Every line of a workplace's storage, and the content of every file that belongs to its studies."""
    with closing(sqlite3.connect(folder / "studies" / "autokd.db")) as storage:
        found: dict[str, Any] = {_STORAGE: sorted(storage.iterdump())}
    files = folder / "studies" / "autokd.db.files"
    for path in sorted(files.rglob("*")):
        if path.is_file() and not any(part.startswith(_CHANGING) for part in path.parts):
            found[str(path.relative_to(files))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def check_kept(before: Mapping[str, Any], folder: Path) -> None:
    """Nothing in the storage has changed, no file is lost or changed. (New files may lie beside them.)"""
    after = state(folder)
    assert after[_STORAGE] == before[_STORAGE]
    assert {name: after.get(name) for name in before} == dict(before)
