"""Tables of texts and labels from files of any kind, and one clear error for each way in which a file can be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError, UsageError, unknown
from autokd.tasks.arrow_files import read_parquet
from autokd.tasks.text_files import json_array, json_rows, line_rows, quoted_rows, tsv_rows

SUFFIXES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".parquet")
TEXT_SUFFIX = ".txt"  # one text a line: nothing but unlabelled texts
_JSON = (".jsonl", ".ndjson", ".json")
_NEVER_QUOTED = ("text", "glue")  # folders of published data: quotes in their tsv files are part of the texts


@dataclass(frozen=True)
class Table:
    """Named columns of equal length. ``lines`` are the rows' places in the file, counted in ``unit``, for errors.

    Cells are what the file holds: text, numbers, booleans, nothing. ``classes`` has the names of the classes for
    columns that hold class ids. ``origin`` names the file or data set.
    """

    origin: str
    cells: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    unit: str = "line"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.cells)

    def column(self, name: str) -> tuple[str, ...]:
        """One column's texts, empty where it holds nothing.

        Raises UsageError for a name that the table does not have, DataError for cells that hold no text.
        """
        return tuple(
            cell if type(cell) is str else self._text(name, row, cell) for row, cell in enumerate(self.values(name))
        )

    def labels(self, name: str) -> tuple[str, ...]:
        """A column in which every row must hold something. Raises DataError naming the first row without."""
        found = self.labels_or_none(name)
        missing = [row for row, label in enumerate(found) if label is None]
        if missing:
            rule = f"every row needs a label in column {name!r}"
            first = f"{self.unit} {self.lines[missing[0]]}"
            raise DataError(f"{self.origin!r}: {rule}, but {len(missing)} have none (first: {first}).")
        return tuple(label for label in found if label is not None)

    def labels_or_none(self, name: str) -> tuple[str | None, ...]:
        """A column's labels as text, None for rows without one (nothing, NaN, or a class id below 0).

        What only looks like nothing (``NA``, ``null``, ``None``) is a label; ``nan`` is one unless all others are
        numbers.
        """
        names = self.classes.get(name)
        values = self.values(name)
        if names is not None:
            return tuple(self._class(name, names, row, cell) for row, cell in enumerate(values))
        texts = (
            cell.strip() if type(cell) is str else self._text(name, row, cell).strip()
            for row, cell in enumerate(values)
        )
        found = tuple(text or None for text in texts)
        nan = {label for label in set(found) if label is not None and label.casefold() == "nan"}
        if nan and all(label in nan or label is None or _is_number(label) for label in set(found)):
            return tuple(None if label in nan else label for label in found)
        return found

    def values(self, name: str) -> Sequence[Any]:
        """One column's cells as the file holds them. Raises UsageError for a name that the table does not have."""
        if name not in self.cells:
            raise UsageError(f"{self.origin!r}: {unknown('column', name, self.columns)}")
        found = self.cells[name]
        cells: Sequence[Any] = found.to_pylist() if hasattr(found, "to_pylist") else found  # Arrow's columns
        return cells

    def _text(self, name: str, row: int, cell: Any) -> str:
        if cell is None or cell != cell:  # NaN
            return ""
        if isinstance(cell, float) and cell.is_integer():
            return str(int(cell))  # a column of whole numbers with gaps is read as floats
        if isinstance(cell, (str, bool, int, float)):
            return str(cell)
        found = f"{self.unit} {self.lines[row]} holds a {type(cell).__name__}"
        raise DataError(f"{self.origin!r}: column {name!r} must hold one text or number a row, but {found}.")

    def _class(self, name: str, names: tuple[str, ...], row: int, cell: Any) -> str | None:
        if cell is None or cell != cell or cell == -1:
            return None
        if isinstance(cell, int) and 0 <= cell < len(names):
            return names[cell]
        found = f"{self.unit} {self.lines[row]} holds {cell!r}"
        raise DataError(f"{self.origin!r}: column {name!r} holds ids of {len(names)} classes, but {found}.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(path: Path) -> Table:
    """Read a file of the kind that its suffix says: csv and tsv (cells may be quoted, as spreadsheets do), JSON lines
    (``.json`` also: one array of objects), parquet, or plain lines (txt), whose one column is called ``text``.

    A tsv file of a folder ``text/NAME`` or ``glue/NAME`` is published data, which nobody quotes: see
    ``read_unquoted``. A byte order mark is dropped. Raises UsageError for another suffix, DataError for a file that is
    missing, empty, broken, not UTF-8, or whose rows differ in width, or columns of one name.
    """
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, TEXT_SUFFIX):
        raise UsageError(f"a data file must end in one of {', '.join(SUFFIXES)}, but got {str(path)!r}.")
    if suffix == ".parquet":
        cells, classes = read_parquet(path)
        n_rows = len(next(iter(cells.values()), ()))
        table = Table(str(path), cells, range(1, n_rows + 1), "row", classes)
    elif suffix in _JSON:
        table = _from_json(path)
    elif suffix == TEXT_SUFFIX:
        table = _from_rows(path, [(line, row) for line, row in line_rows(path) if row[0].strip()], ("text",))
    elif suffix == ".tsv" and path.resolve().parent.parent.name.lower() in _NEVER_QUOTED:
        table = _from_rows(path, tsv_rows(path), None)
    else:
        table = _separated(path, "," if suffix == ".csv" else "\t")
    return _filled(table)


def _separated(path: Path, delimiter: str) -> Table:
    """A file of quoted cells. Raises DataError where its header has one name that others separate."""
    table = _from_rows(path, quoted_rows(path, delimiter), None)
    marks = {",": "commas", "\t": "tabs", ";": "semicolons"}
    only = table.columns[0] if len(table.columns) == 1 else ""
    other = next((mark for mark in marks if mark != delimiter and mark in only), "")
    if other:
        rule = f"a {path.suffix.lower()} file separates its columns by {marks[delimiter]}"
        raise DataError(f"{rule}, but the header of {str(path)!r} has {marks[other]}: {only!r}.")
    return table


def read_unquoted(path: Path, header: Sequence[str] | None = None) -> Table:
    """Read a tsv file split at tabs and line feeds alone; quotes are part of the texts.

    ``header`` names the columns of a file without a header line. Raises DataError as ``read_table``.
    """
    return _filled(_from_rows(path, tsv_rows(path), header))


def _filled(table: Table) -> Table:
    if not len(table):
        raise DataError(f"a data file must hold at least one row, but {table.origin!r} holds none.")
    return table


def _from_json(path: Path) -> Table:
    array = json_array(path) if path.suffix.lower() == ".json" else None
    unit = "line" if array is None else "row"
    try:
        rows = json_rows(path) if array is None else array
    except DataError as error:
        if path.suffix.lower() != ".json":
            raise
        raise DataError(f"{str(error).rstrip('.')} (a .json file may also be one array of objects).") from error
    nested = [name for _, row in rows for name, cell in row.items() if isinstance(cell, (dict, list))]
    if len(rows) == 1 and nested and path.suffix.lower() == ".json":
        rule = "a .json file is one array of objects, or holds one object a line"
        raise DataError(f"{rule}, but {str(path)!r} is one object whose {nested[0]!r} holds more of them.")
    names = dict.fromkeys(name for _, row in rows for name in row)
    cells = {name: [row.get(name) for _, row in rows] for name in names}
    return Table(str(path), cells, tuple(number for number, _ in rows), unit)


def _from_rows(path: Path, rows: list[tuple[int, tuple[str, ...]]], header: Sequence[str] | None) -> Table:
    filled = [(line, row) for line, row in rows if any(row) or len(row) > 1]  # a blank line is no row
    if header is None and filled:
        names, filled = tuple(name.strip() for name in filled[0][1]), filled[1:]
    else:
        names = tuple(header or ())
    if len(set(names)) < len(names):
        raise DataError(f"{str(path)!r}: column names must differ, but the header is {', '.join(names)}.")
    for line, row in filled:
        if len(row) != len(names):
            rule = f"every row needs {len(names)} columns ({', '.join(names)})"
            torn = " with line feeds within quotes: is a quote missing?" if any("\n" in cell for cell in row) else "."
            raise DataError(f"{str(path)!r}: {rule}, but line {line} has {len(row)}{torn}")
    columns = zip(*(row for _, row in filled), strict=True) if filled else [()] * len(names)
    return Table(str(path), dict(zip(names, columns, strict=True)), tuple(line for line, _ in filled))
