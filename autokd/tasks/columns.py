"""Which columns of a table hold the text, the second text of a pair, and the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autokd.core.errors import UsageError, unknown
from autokd.core.settings import DataSource
from autokd.tasks.splits import Labelled
from autokd.tasks.tables import Table

# Column names that need no option, in the order in which they are looked for.
_TEXTS = ("text", "sentence", "sentence1", "premise", "question1", "text1", "text_a", "content")
_PAIRS = {
    "sentence1": "sentence2",
    "premise": "hypothesis",
    "question1": "question2",
    "text1": "text2",
    "text_a": "text_b",
}
_LABELS = ("label", "labels", "class", "target")


@dataclass(frozen=True)
class Columns:
    """Names of columns; ``pair`` None: single sentences."""

    text: str
    pair: str | None
    label: str

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,) if self.pair is None else (self.text, self.pair)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.texts, self.label)

    def labelled(self, table: Table) -> Labelled:
        """The rows of a table in which every row has a label. Raises as ``Table.labels``."""
        return self._rows(table, table.labels(self.label))

    def known(self, table: Table) -> Labelled:
        """The rows of a table that have a label."""
        labels = table.labels_or_none(self.label)
        kept = [row for row, label in enumerate(labels) if label is not None]
        return self._rows(table, tuple(label or "" for label in labels)).take(kept)

    def _rows(self, table: Table, labels: tuple[str, ...]) -> Labelled:
        pair = None if self.pair is None else table.column(self.pair)
        return Labelled(table.column(self.text), pair, labels)


def find_columns(names: Sequence[str], origin: str, source: DataSource) -> Columns:
    """The columns that the user named; those not named are recognised by their usual names.

    ``origin`` says what has the columns ``names``. Raises UsageError for a name that is not among them, and where
    columns cannot be told.
    """
    for name in (source.text_column, source.text_pair_column, source.label_column):
        if name is not None and name not in names:
            raise UsageError(f"{origin!r}: {unknown('column', name, names)}")
    text, pair = source.text_column, source.text_pair_column
    if text is None:
        text = next((name for name in _TEXTS if name in names), None)
        usual = _PAIRS.get(text or "")
        pair = pair or (usual if usual in names else None)
    label = source.label_column or next((name for name in _LABELS if name in names), None)
    if text is None or label is None:
        missing = " and ".join(f"--{what}-column" for what, name in (("text", text), ("label", label)) if name is None)
        raise UsageError(f"{origin!r} has columns {', '.join(names)}: say which to use with {missing}.")
    chosen = [name for name in (text, pair, label) if name is not None]
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"text, pair and label must be different columns, but got {', '.join(chosen)}.")
    return Columns(text, pair, label)


def usual_texts(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that texts usually stand in, one or both of a pair, or the only one there is; else ``()``."""
    text = next((name for name in _TEXTS if name in names), None)
    if text is None:
        return tuple(names) if len(names) == 1 else ()
    pair = _PAIRS.get(text, "")
    return (text, pair) if pair in names else (text,)


def find_texts(names: Sequence[str], origin: str, choices: Sequence[tuple[str, ...]], n_texts: int) -> tuple[str, ...]:
    """The text columns of a file without labels: the first of ``choices`` that it has, else the usual names.

    A file of one column needs no name where ``n_texts`` is 1. Raises UsageError where it has none of them.
    """
    usual: list[tuple[str, ...]] = [(name,) for name in _TEXTS] if n_texts == 1 else [*_PAIRS.items()]
    for choice in (*choices, *usual):
        if len(choice) == n_texts and set(choice) <= set(names):
            return choice
    if n_texts == len(names) == 1:
        return tuple(names)
    wanted = " and ".join(next((choice for choice in choices if len(choice) == n_texts), usual[0]))
    raise UsageError(
        f"unlabelled texts need the columns of the labelled ones ({wanted}), but {origin!r} has {', '.join(names)}."
    )


def read_splits(
    tables: Mapping[str, Table], columns: Columns, *, strict: bool
) -> tuple[dict[str, Labelled], tuple[str, ...]]:
    """The rows of each split, and notes: a split (but for train) in which no row has a label is left out.

    ``strict``: rows without a label are an error, otherwise they are left out too.
    """
    splits: dict[str, Labelled] = {}
    notes: list[str] = []
    for name, table in tables.items():
        known = columns.known(table)
        if name != "train" and len(table) and not len(known):
            notes.append(f"the {name} split has no labels and is not used.")
            continue
        splits[name] = columns.labelled(table) if strict else known
        if len(splits[name]) < len(table):
            notes.append(f"{len(table) - len(known)} of {len(table)} {name} rows have no label and were left out.")
    return splits, tuple(notes)
