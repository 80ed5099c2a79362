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
    """Lines split at tabs, in which quotes are characters like any other. Raises DataError for a file that is missing
    or not UTF-8."""
    return [(number, tuple(line.split("\t"))) for number, line in _lines(path)]


def quoted_rows(path: Path, delimiter: str) -> list[tuple[int, tuple[str, ...]]]:
    """Records of a file whose cells may be quoted (RFC 4180): a quote that begins a cell ends it too, a quote doubled
    within such a cell is one, and a quote within any other cell is a character like any other.

    Raises DataError as ``tsv_rows``, and naming the lines of a record that is broken.
    """
    # An iterator of physical lines: quoted cells may hold line feeds, and the reader must see them.
    lines = (line + "\n" for line in read_text(path).split("\n"))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    csv.field_size_limit(2**31 - 1)
    rows: list[tuple[int, tuple[str, ...]]] = []
    begin = 1
    try:
        for row in reader:
            if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in row):
                raise csv.Error("a quoted cell holds tabs and line feeds, as if its closing quote were missing")
            rows.append((reader.line_num, tuple(row)))
            begin = reader.line_num + 1
    except csv.Error as error:
        reason = str(error).replace("'\t'", "a tab")
        raise DataError(_broken(path, begin, reader.line_num, delimiter, reason)) from error
    return rows


def _broken(path: Path, begin: int, end: int, delimiter: str, reason: str) -> str:
    """One line for a record that begins and breaks at these lines, and what can be done."""
    where = f"line {begin}" if begin == end else f"the record that begins on line {begin} and breaks off on line {end}"
    kind = "tsv" if delimiter == "\t" else "csv"
    told = f"{str(path)!r}: {where} is not valid {kind}: {reason}. "
    if delimiter == ",":
        return told + 'A cell that begins with a quote ends with one; within it a quote is written twice ("").'
    return told + (
        'A cell that begins with a quote ends with one; within it a quote is written twice (""). '
        "Where quotes are part of the texts, save the file as JSON lines, or put it into a folder text/NAME, "
        "whose tsv files are never quoted."
    )


def json_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Objects of a file with one JSON object a line. Raises DataError as ``tsv_rows``, and naming the line that holds
    something else."""
    return [(number, _object(path, number, line)) for number, line in _lines(path) if line.strip()]


def json_array(path: Path) -> list[tuple[int, dict[str, Any]]] | None:
    """Objects of a file that is one JSON array, with their numbers from 1 on; None where it begins with no ``[``.

    Raises DataError as ``tsv_rows``, and for an array that is broken or holds something else.
    """
    text = read_text(path)
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(path)!r} is not valid JSON: {error}.") from error
    for number, value in enumerate(found, start=1):
        if not isinstance(value, dict):
            kind = f"row {number} is of type {type(value).__name__}"
            raise DataError(f"{str(path)!r}: a JSON array of rows holds objects, but {kind}.")
    whole = _HALF_A_PAIR.search(text) is None
    return [(n, row if whole else _mended(row)) for n, row in enumerate(found, start=1)]


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{str(path)!r}: every line holds one JSON object, but line {number}: {reason}.") from error
    if not isinstance(value, dict):
        found = type(value).__name__
        raise DataError(f"{str(path)!r}: every line holds one JSON object, but line {number} holds a {found}.")
    return _mended(value) if _HALF_A_PAIR.search(line) else value


def _mended(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _whole_characters(cell) for name, cell in row.items()}


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
