"""From labelled rows, as they were found, to a task with three splits.

Three labelled splits are used as they are. With two, the second is the test and validation is carved from train; with
one, both are carved. Carving is stratified, and rows with equal texts stay on one side.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from autokd.core.errors import DataError, UsageError
from autokd.core.seeds import Seeds
from autokd.core.task import DataKind, Problem, Split, Task
from autokd.measure.metrics import find_metric

MOST_HELD_OUT = 2000  # enough for an interval of +-2 points; more would slow every evaluation of a search
LEAST_ROWS = 20
IMBALANCE = 3.0  # from here on, plain accuracy rewards ignoring the rare classes
_IMBALANCED = "macro_f1"
_MOST_LISTED = 10


@dataclass(frozen=True)
class Labelled:
    """Rows as they were found: texts, and labels still as text. ``text_b`` is None for single sentences.

    Rows of another ``kind`` (nodes of a graph) come as a subclass.
    """

    kind: ClassVar[DataKind] = "text"

    text_a: tuple[str, ...]
    text_b: tuple[str, ...] | None
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def texts(self) -> list[tuple[str, str]]:
        """Both texts of each row, stripped: what makes rows equal."""
        second = self.text_b if self.text_b is not None else ("",) * len(self)
        return [(a.strip(), b.strip()) for a, b in zip(self.text_a, second, strict=True)]

    def take(self, rows: Sequence[int]) -> Labelled:
        """Only these rows, in this order."""
        text_b = None if self.text_b is None else tuple(self.text_b[i] for i in rows)
        return Labelled(tuple(self.text_a[i] for i in rows), text_b, tuple(self.labels[i] for i in rows))

    def typed(self, labels: Sequence[int] | Sequence[float]) -> Split:
        """The rows with these labels instead: class ids or values."""
        return Split(self.text_a, self.text_b, tuple(labels))


@dataclass(frozen=True)
class Source:
    """What a reader found: rows of each split that has labels, under ``train``, ``valid`` and ``test``."""

    name: str
    splits: Mapping[str, Labelled]
    metric: str | None = None  # the data set's own
    problem: Problem | None = None  # None: seen from the labels
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # names of the text columns, by which further texts are found
    classes: tuple[str, ...] = ()  # names of the classes in the order of their ids, where the data number them


def make_task(source: Source, seed: int, metric: str | None = None) -> Task:
    """The task of a source: splits completed, labels turned into class ids, a metric chosen.

    ``metric`` is what the user asked for; otherwise the data set's own, else accuracy, or macro F1 where the largest
    class is more than three times the smallest, or Pearson's and Spearman's mean for regression. Labels are values
    (regression) where all are numbers and some are not whole, or where the metric says so. Raises DataError for too
    few rows or classes and for a label that train lacks, UsageError for a metric that is unknown or does not fit.
    """
    filled = {name: without_empty(part) for name, part in source.splits.items()}
    dropped = sum(map(len, source.splits.values())) - sum(map(len, filled.values()))
    empty = [f"{dropped} rows without any text were left out."] if dropped else []
    splits, notes = complete(filled, seed, empty)
    notes = [*source.notes, *empty, *notes]
    problem = source.problem or (find_metric(metric).problem if metric else None) or _seen_problem(splits)
    names = _label_names(source, splits) if problem == "classification" else ("value",)
    typed = {name: _typed(source.name, part, names, problem, metric) for name, part in splits.items()}
    chosen = find_metric(metric or source.metric or usual_metric(problem, splits["train"]), problem, len(names))
    notes += _overlaps(splits)
    if problem == "classification" and (untrained := set(names) - set(splits["train"].labels)):
        notes.append(f"train holds no row of {_listed(untrained)}.")
    if not (metric or source.metric) and chosen.name == _IMBALANCED:
        notes.append(_imbalance(splits["train"]))
    if chosen.two_classes:
        notes.append(f"{chosen.name} counts {names[1]!r} as the positive class.")
    return Task(
        source.name,
        typed["train"],
        typed["valid"],
        typed["test"],
        names,
        problem,
        chosen.name,
        tuple(notes),
        seed=seed if len(named(filled)) < 3 else 0,  # where nothing is carved no seed makes another task
    )


def without_empty(part: Labelled) -> Labelled:
    """The rows that hold any text."""
    kept = [i for i, texts in enumerate(part.texts) if any(texts)]
    return part if len(kept) == len(part) else part.take(kept)


def complete(
    splits: Mapping[str, Labelled], seed: int, empty: Sequence[str] = ()
) -> tuple[dict[str, Labelled], list[str]]:
    """All three splits, and a note for each that had to be carved; ``empty`` says what was left out before.

    Raises DataError where there is no train split, or too few rows.
    """
    if "train" not in splits or sum(map(len, splits.values())) < LEAST_ROWS:
        found = ", ".join(f"{name} {len(part)}" for name, part in splits.items()) or "none"
        rule = f"a data set needs a train split and {LEAST_ROWS} labelled rows in all"
        raise DataError(" ".join([f"{rule}, but got: {found}.", *empty]))
    done = named(splits)
    notes = []
    for name in ("test", "valid"):
        if name not in done:
            done["train"], done[name] = carve(done["train"], held_out_size(len(splits["train"])), Seeds(seed), name)
            notes.append(f"{name}: {len(done[name])} rows carved from train, stratified.")
    empty = [name for name, part in done.items() if not len(part)]
    if empty:
        raise DataError(f"every split needs rows, but these have none: {', '.join(empty)}.")
    return done, notes


def named(splits: Mapping[str, Labelled]) -> dict[str, Labelled]:
    """The splits by the names that a study gives them: of two, the second is the test."""
    if set(splits) == {"train", "valid"}:
        return {"train": splits["train"], "test": splits["valid"]}
    return dict(splits)


def held_out_size(n_rows: int) -> int:
    """How many rows to carve from ``n_rows``: a tenth, at least 200 where that is under a quarter, at most 2,000."""
    return min(MOST_HELD_OUT, max(n_rows // 10, min(200, n_rows // 4)))


def carve(rows: Labelled, size: int, seeds: Seeds, purpose: str) -> tuple[Labelled, Labelled]:
    """Split off about ``size`` rows, stratified by label: ``(the rest, the carved)``, both in their old order.

    Values of a regression task are stratified by their rank. Rows with equal texts go together, so the size can be
    missed by a few.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, texts in enumerate(rows.texts):
        groups[texts].append(row)
    members = list(groups.values())
    random = seeds.at("tasks:carve", replicate=0).numpy(purpose)
    strata: dict[str, list[int]] = defaultdict(list)
    for group in random.permutation(len(members)):
        strata[rows.labels[members[group][0]]].append(int(group))
    # Where labels are classes, one group of each stays behind: the rest must still know them all.
    first = 1 if 2 * len(strata) <= len(members) else 0
    # One stratum after the other, sorted: a stride through this line meets each in its proportion.
    line = [group for label in sorted(strata, key=_rank) for group in strata[label][first:]]
    stride = max(1.0, len(line) / size)
    picked = {line[int(at)] for at in np.arange(stride / 2, len(line), stride)}
    carved = sorted(row for group in picked for row in members[group])
    held = set(carved)
    return rows.take([row for row in range(len(rows)) if row not in held]), rows.take(carved)


def _rank(label: str) -> tuple[float, str]:
    value = _number(label)
    return (math.inf if value is None else value, label)


def _number(label: str) -> float | None:
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _seen_problem(splits: Mapping[str, Labelled]) -> Problem:
    labels = {label for part in splits.values() for label in part.labels}
    numbers = [value for label in labels if (value := _number(label)) is not None]
    whole = all(value.is_integer() for value in numbers)
    return "regression" if len(numbers) == len(labels) and not whole else "classification"


def _label_names(source: Source, splits: Mapping[str, Labelled]) -> tuple[str, ...]:
    name, names = source.name, tuple(sorted({label for part in splits.values() for label in part.labels}))
    if len(names) < 2:
        raise DataError(f"a classification task needs at least 2 classes, but {name!r} has only {', '.join(names)}.")
    n_rows = sum(map(len, splits.values()))
    if len(names) * 2 > n_rows:
        found = f"{name!r} has {len(names)} different labels in {n_rows} rows"
        raise DataError(f"classes must repeat, but {found}; is this the label? (A regression metric makes it one.)")
    trained = set(source.splits["train"].labels)
    for split, part in source.splits.items():
        counts = Counter(label for label in part.labels if label not in trained)
        if counts:
            found = f"{split} of {name!r} has {counts.total()} rows of {_listed(counts)}"
            raise DataError(f"every label must occur in train, but {found}; train has {_listed(trained)}.")
    return names


def _listed(labels: Iterable[str]) -> str:
    names = sorted(labels)
    further = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + further


def _typed(name: str, part: Labelled, names: Sequence[str], problem: Problem, metric: str | None) -> Split:
    if problem == "classification":
        ids = {label: i for i, label in enumerate(names)}
        return Split(part.text_a, part.text_b, tuple(ids[label] for label in part.labels))
    wrong = next((label for label in part.labels if _number(label) is None), None)
    if wrong is not None and metric is not None:
        raise UsageError(f"the metric {metric!r} is one of numbers, but {name!r} has the label {wrong!r}.")
    return with_values(name, part)


def with_values(name: str, part: Labelled) -> Split:
    """The rows of a regression task. Raises DataError for a label that is no finite number."""
    values = [_number(label) for label in part.labels]
    wrong = [label for label, value in zip(part.labels, values, strict=True) if value is None]
    if wrong:
        raise DataError(f"labels of a regression task must be finite numbers, but {name!r} has {wrong[0]!r}.")
    return part.typed([value for value in values if value is not None])


def usual_metric(problem: Problem, train: Labelled) -> str:
    """The metric of data that have none of their own."""
    if problem == "regression":
        return "pearson_spearman"
    return _IMBALANCED if _ratio(train) > IMBALANCE else "accuracy"


def _ratio(train: Labelled) -> float:
    """How many times as many rows as the smallest class the largest one has."""
    counts = Counter(train.labels).values()
    return max(counts) / min(counts)


def _imbalance(train: Labelled) -> str:
    times = f"{_ratio(train):.1f} times as many rows as the smallest"
    return f"the largest class of train has {times}: {_IMBALANCED} weighs all classes alike (--metric takes another)."


def _overlaps(splits: Mapping[str, Labelled]) -> list[str]:
    notes = []
    for held, other in (("valid", "train"), ("test", "train"), ("test", "valid")):
        known = set(splits[other].texts)
        n_known = sum(texts in known for texts in splits[held].texts)
        if n_known:
            notes.append(f"{n_known} of {len(splits[held])} {held} rows also occur in {other}, word for word.")
    return notes
