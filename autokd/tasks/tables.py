"""Tables from csv and tsv files: columns of text, and one clear error for each way in which a file can be wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autokd.core.errors import DataError, UsageError, unknown


@dataclass(frozen=True)
class Table:
    """Named columns of equal length. ``lines`` are the rows' line numbers in the file, for errors."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """One column's values. Raises UsageError for a name that the table does not have."""
        if name not in self.columns:
            raise UsageError(f"{str(self.path)!r}: {unknown('column', name, self.columns)}")
        index = self.columns.index(name)
        return tuple(row[index] for row in self.rows)

    def labels(self, name: str) -> tuple[str, ...]:
        """A column in which every row must hold something. Raises DataError naming the first line without."""
        values = self.column(name)
        missing = [line for line, value in zip(self.lines, values, strict=True) if not value.strip()]
        if missing:
            rule = f"every row needs a label in column {name!r}"
            raise DataError(f"{str(self.path)!r}: {rule}, but {len(missing)} have none (first: line {missing[0]}).")
        return tuple(value.strip() for value in values)


def read_table(path: Path, header: Sequence[str] | None = None) -> Table:
    """Read a ``.csv`` (quoted as spreadsheets do) or ``.tsv`` file (split at tabs and line feeds, never quoted).

    ``header`` names the columns of a file that has no header line. A byte order mark is dropped. Raises DataError for
    a file that is missing, empty, not UTF-8, or whose rows differ in width.
    """
    cells = _csv_cells(path) if path.suffix.lower() == ".csv" else _tsv_cells(path)
    filled = [(line, row) for line, row in cells if any(row)]
    if header is None and filled:
        names, filled = tuple(name.strip() for name in filled[0][1]), filled[1:]
    else:
        names = tuple(header or ())
    if not filled:
        raise DataError(f"a data file must hold at least one row, but {str(path)!r} holds none.")
    if len(set(names)) < len(names):
        raise DataError(f"{str(path)!r}: column names must differ, but the header is {', '.join(names)}.")
    for line, row in filled:
        if len(row) != len(names):
            rule = f"every row needs {len(names)} columns ({', '.join(names)})"
            raise DataError(f"{str(path)!r}: {rule}, but line {line} has {len(row)}.")
    return Table(path, names, tuple(row for _, row in filled), tuple(line for line, _ in filled))


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"a data file must be readable, but {str(path)!r} is not: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"a data file must be UTF-8 text, but {str(path)!r} is not at byte {error.start}.") from error


def _tsv_cells(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    # Not ``splitlines``: it also splits at form feeds and at the line separators that user texts contain.
    lines = _text_of(path).split("\n")
    return [(number, tuple(line.removesuffix("\r").split("\t"))) for number, line in enumerate(lines, start=1)]


def _csv_cells(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    # An iterator of physical lines: quoted cells may hold line feeds, and the reader must see them.
    lines = (line + "\n" for line in _text_of(path).split("\n"))
    reader = csv.reader(lines, strict=True)
    csv.field_size_limit(2**31 - 1)
    try:
        return [(reader.line_num, tuple(row)) for row in reader]
    except csv.Error as error:
        raise DataError(f"{str(path)!r}: line {reader.line_num} is not valid csv: {error}.") from error
