"""Data sets in files: a folder with one file per split, or a single file of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autokd.core.errors import DataError, UsageError
from autokd.core.settings import DataSource
from autokd.tasks.splits import Labelled, Source
from autokd.tasks.tables import Table, read_table

SUFFIXES = (".tsv", ".csv")
_SPLIT_FILES = {"train": ("train",), "valid": ("validation", "valid", "dev"), "test": ("test",)}
# Column names that need no option, in the order in which they are looked for.
_TEXT_COLUMNS = ("text", "sentence", "sentence1")
_PAIR_COLUMNS = {"sentence1": "sentence2"}
_LABEL_COLUMN = "label"


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with a train file."""
    return any((path / f"train{suffix}").is_file() for suffix in SUFFIXES)


def read_folder(folder: Path, source: DataSource) -> Source:
    """Read ``train``, ``validation`` (or ``valid``, ``dev``) and ``test`` files; only train is required.

    A test file without the label column is left out, with a note. Raises DataError for a broken file, UsageError
    where the columns cannot be told.
    """
    tables = {split: read_table(path) for split, path in _split_files(folder).items()}
    if "train" not in tables:
        raise DataError(f"a data set's folder needs train.tsv or train.csv, but {str(folder)!r} has neither.")
    columns = _columns(tables["train"], source)
    notes = []
    if "test" in tables and columns.label not in tables["test"].columns:
        del tables["test"]
        notes.append(f"the test file has no column {columns.label!r} and is not used.")
    splits = {split: columns.of(table) for split, table in tables.items()}
    return Source(folder.name, splits, notes=tuple(notes))


def _split_files(folder: Path) -> dict[str, Path]:
    found = {}
    for split, stems in _SPLIT_FILES.items():
        paths = [folder / (stem + suffix) for stem in stems for suffix in SUFFIXES]
        there = [path for path in paths if path.is_file()]
        if len(there) > 1:
            names = ", ".join(path.name for path in there)
            raise DataError(f"each split needs one file, but {str(folder)!r} has {names}.")
        if there:
            found[split] = there[0]
    return found


def read_file(path: Path, source: DataSource) -> Source:
    """Read one csv or tsv file as the train split. Raises as ``read_folder``."""
    table = read_table(path)
    return Source(path.stem, {"train": _columns(table, source).of(table)})


@dataclass(frozen=True)
class _Columns:
    """Which columns hold the text, the second text (None: single sentences) and the label."""

    text: str
    pair: str | None
    label: str

    def of(self, table: Table) -> Labelled:
        pair = None if self.pair is None else table.column(self.pair)
        return Labelled(table.column(self.text), pair, table.labels(self.label))


def _columns(table: Table, source: DataSource) -> _Columns:
    """The user's columns; those not named are recognised by their usual names."""
    text, pair = source.text_column, source.text_pair_column
    if text is None:
        text = next((name for name in _TEXT_COLUMNS if name in table.columns), None)
        pair = pair or _PAIR_COLUMNS.get(text or "")
    label = source.label_column or (_LABEL_COLUMN if _LABEL_COLUMN in table.columns else None)
    if text is None or label is None:
        missing = " and ".join(f"--{what}-column" for what, name in (("text", text), ("label", label)) if name is None)
        raise UsageError(
            f"{str(table.path)!r} has columns {', '.join(table.columns)}: say which to use with {missing}."
        )
    named = [name for name in (text, pair, label) if name is not None]
    if len(set(named)) < len(named):
        raise UsageError(f"text, pair and label must be different columns, but got {', '.join(named)}.")
    return _Columns(text, pair, label)
