"""Further texts without labels, beside a task: the teacher labels them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autokd.core.errors import DataError
from autokd.core.task import Split, Task, without_labels
from autokd.tasks.columns import find_texts
from autokd.tasks.tables import Table, read_table


def with_unlabelled(task: Task, path: Path, choices: Sequence[tuple[str, ...]]) -> Task:
    """The task with the texts of a file (see ``read_table``) beside its training rows.

    The first of ``choices`` whose columns the file has names them. Rows without text are left out, and so are those
    that also occur in validation or test, with a note. Raises UsageError where the columns are not there, DataError
    for a broken file and where no row is left.
    """
    table = read_table(path)
    names = find_texts(table.columns, table.origin, choices, 2 if task.is_pair else 1)
    rows = _texts(table, names)
    held_out = {text for split in (task.valid, task.test) for text in _of(split)}
    filled = [row for row in rows if any(row)]
    kept = [row for row in filled if row not in held_out]
    if not kept:
        raise DataError(f"unlabelled texts must be new ones, but none of {len(rows)} rows of {str(path)!r} is.")
    text_b = tuple(row[1] for row in kept) if task.is_pair else None
    split = without_labels(tuple(row[0] for row in kept), text_b, task.problem)
    return replace(task, unlabelled=split, notes=(*task.notes, *_notes(path, len(rows), len(filled), len(kept))))


def _texts(table: Table, names: tuple[str, ...]) -> list[tuple[str, str]]:
    columns = [table.column(name) for name in names]
    second = columns[1] if len(columns) == 2 else ("",) * len(table)
    return [(a.strip(), b.strip()) for a, b in zip(columns[0], second, strict=True)]


def _of(split: Split) -> list[tuple[str, str]]:
    second = split.text_b if split.text_b is not None else ("",) * len(split)
    return [(a.strip(), b.strip()) for a, b in zip(split.text_a, second, strict=True)]


def _notes(path: Path, n_rows: int, n_filled: int, n_kept: int) -> list[str]:
    notes = [f"{n_kept:,} rows of {path.name} are labelled by the teacher alone."]
    if n_filled < n_rows:
        notes.append(f"{n_rows - n_filled:,} rows of {path.name} without any text were left out.")
    if n_kept < n_filled:
        notes.append(f"{n_filled - n_kept:,} rows of {path.name} also occur in validation or test and were left out.")
    return notes
