"""Texts to predict labels for: from a table's columns, from lines, or from standard input."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from autokd.tasks.tables import Table

FORMATS = {"csv": ".csv", "tsv": ".tsv", "jsonl": ".jsonl", "parquet": ".parquet", "lines": ".txt"}
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Texts:
    """Texts in their order, each with a second one or none, and every column of the file that they came from.

    Cells of ``columns`` are what the file holds: text, or with JSON lines and parquet any value.
    """

    first: tuple[str, ...]
    second: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.first)

    def row(self, index: int) -> dict[str, Any]:
        """One row of the file, by the names of its columns."""
        return {name: cells[index] for name, cells in self.columns.items()}


def read_texts(name: str, form: str | None, text_column: str | None, pair_column: str | None) -> Texts:
    """The texts of a file (``-``: standard input). ``form`` None: as its name ends; lines where that says nothing.

    Raises UsageError for a missing file or column, DataError for one that is empty or broken.
    """
    if name != STANDARD_INPUT:
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"the texts must be a file that exists, or - for standard input, but got {name!r}.")
        return _read(path, form or _form_of(path), text_column, pair_column)
    if sys.stdin.isatty():
        raise UsageError("standard input must be a file or a pipe, but it is this terminal; name a file with --input.")
    form = form or "lines"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"standard input{FORMATS[form]}"
        path.write_bytes(sys.stdin.buffer.read())
        return _read(path, form, text_column, pair_column)


def _form_of(path: Path) -> str:
    found = {suffix: form for form, suffix in FORMATS.items()} | {".json": "jsonl", ".ndjson": "jsonl"}
    return found.get(path.suffix.lower(), "lines")


def _read(path: Path, form: str, text_column: str | None, pair_column: str | None) -> Texts:
    if form == "lines":
        if text_column or pair_column:
            raise UsageError(f"columns are those of a table, but {path.name!r} is read as lines; see --input-format.")
        return _lines(path)
    from autokd.tasks.tables import read_table

    if path.suffix.lower() != FORMATS[form] and not (form == "jsonl" and path.suffix.lower() in (".json", ".ndjson")):
        raise UsageError(f"a file of the form {form} ends in {FORMATS[form]}, but got {path.name!r}.")
    return _columns(read_table(path), path, text_column, pair_column)


def _lines(path: Path) -> Texts:
    from autokd.tasks.text_files import read_text

    text = read_text(path)
    if not text.strip():
        raise DataError(f"there must be at least one text, but {path.name!r} is empty.")
    # Not ``splitlines``: texts may hold other line separators. Empty lines stay: line n of the output is line n here.
    found = tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))
    return Texts(found, columns={"text": found})


def _columns(table: Table, path: Path, text_column: str | None, pair_column: str | None) -> Texts:
    from autokd.tasks.columns import usual_texts

    names = (text_column,) if text_column else usual_texts(table.columns)[: 1 if pair_column else 2]
    if not names:
        listed = ", ".join(table.columns)
        raise UsageError(f"{path.name!r} has the columns {listed}: say which holds the texts with --text-column.")
    if pair_column:
        names = (names[0], pair_column)
    if len(set(names)) < len(names):
        raise UsageError(f"the two texts of a pair stand in different columns, but got {names[0]!r} twice.")
    found = [table.column(name) for name in names]
    columns = {name: table.values(name) for name in table.columns}
    return Texts(found[0], found[1] if len(found) == 2 else None, columns)
