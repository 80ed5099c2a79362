"""Rows of text files (csv, tsv, JSON lines, plain lines), each with the number of the line that it ends on."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError

_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # JSON can spell characters that no text can hold


def tsv_rows(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Lines split at tabs, never quoted. Raises DataError for a file that is missing or not UTF-8."""
    return [(number, tuple(line.split("\t"))) for number, line in _lines(path)]


def csv_rows(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Records of a comma-separated file, quoted as spreadsheets do. Raises DataError as ``tsv_rows``, and naming the
    line of a record that is broken."""
    # An iterator of physical lines: quoted cells may hold line feeds, and the reader must see them.
    lines = (line + "\n" for line in read_text(path).split("\n"))
    reader = csv.reader(lines, strict=True)
    csv.field_size_limit(2**31 - 1)
    try:
        return [(reader.line_num, tuple(row)) for row in reader]
    except csv.Error as error:
        raise DataError(f"{str(path)!r}: line {reader.line_num} is not valid csv: {error}.") from error


def json_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Objects of a file with one JSON object a line. Raises DataError as ``tsv_rows``, and naming the line that holds
    something else."""
    return [(number, _object(path, number, line)) for number, line in _lines(path) if line.strip()]


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{str(path)!r}: every line holds one JSON object, but line {number}: {reason}.") from error
    if not isinstance(value, dict):
        found = type(value).__name__
        raise DataError(f"{str(path)!r}: every line holds one JSON object, but line {number} holds a {found}.")
    if _HALF_A_PAIR.search(line):
        return {name: _whole_characters(cell) for name, cell in value.items()}
    return value


def _whole_characters(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    return cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def line_rows(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Every line as a row of one cell. Raises DataError as ``tsv_rows``."""
    return [(number, (line,)) for number, line in _lines(path)]


def _lines(path: Path) -> list[tuple[int, str]]:
    # Not ``splitlines``: it also splits at form feeds and at the line separators that user texts contain.
    return [(number, line.removesuffix("\r")) for number, line in enumerate(read_text(path).split("\n"), start=1)]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark. Raises DataError where it is missing or not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"a data file must be readable, but {str(path)!r} is not: {error.strerror}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"byte {error.start} (line {content.count(10, 0, error.start) + 1})"
        raise DataError(f"a data file must be UTF-8 text, but {str(path)!r} is not at {place}.") from error
