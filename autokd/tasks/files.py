"""Data sets in files: a folder with one file per split, or a single file of the user's own."""

from __future__ import annotations

from pathlib import Path

from autokd.core.errors import DataError
from autokd.core.settings import DataSource
from autokd.tasks.columns import find_columns, read_splits
from autokd.tasks.splits import Source
from autokd.tasks.tables import SUFFIXES, read_table

_SPLIT_FILES = {"train": ("train",), "valid": ("validation", "valid", "dev"), "test": ("test",)}


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with a file for one of the splits."""
    stems = [stem for stems in _SPLIT_FILES.values() for stem in stems]
    return any((path / f"{stem}{suffix}").is_file() for stem in stems for suffix in SUFFIXES)


def read_folder(folder: Path, source: DataSource) -> Source:
    """Read ``train``, ``validation`` (or ``valid``, ``dev``) and ``test`` files, those of them that are there.

    A file without the label column that others have, or without labels in it, is left out, with a note. Raises
    DataError for a broken file and a folder without any, UsageError where the columns cannot be told.
    """
    tables = {split: read_table(path) for split, path in _split_files(folder).items()}
    if not tables:
        raise DataError(f"a data set's folder needs a file for a split, but {str(folder)!r} has none.")
    first = next(iter(tables.values()))
    columns = find_columns(first.columns, first.origin, source)
    bare = [split for split in tables if columns.label not in tables[split].columns]
    splits, notes = read_splits({s: table for s, table in tables.items() if s not in bare}, columns, strict=True)
    missing = tuple(f"the {split} file has no column {columns.label!r} and is not used." for split in bare)
    return Source(
        folder.name,
        splits,
        notes=(*missing, *notes),
        columns=columns.texts,
        classes=first.classes.get(columns.label, ()),
    )


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
    """Read one file as the train split. Raises as ``read_folder``."""
    table = read_table(path)
    columns = find_columns(table.columns, table.origin, source)
    rows = {"train": columns.labelled(table)}
    return Source(path.stem, rows, columns=columns.texts, classes=table.classes.get(columns.label, ()))
