"""A task as plain values: texts, labels, splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from autokd.core.canonical import digest

Problem = Literal["classification", "regression"]
DataKind = Literal["text", "graph"]
NO_CLASS = -100  # the label of a row without one, as in torch's cross-entropy; regression has NaN


@dataclass(frozen=True)
class Split:
    """Rows of one split. ``text_b`` is None for single sentences. Labels are class ids or, for regression, floats.

    Rows of another ``kind`` (nodes of a graph) come as a subclass.
    """

    kind: ClassVar[DataKind] = "text"

    text_a: tuple[str, ...]
    text_b: tuple[str, ...] | None
    labels: tuple[int, ...] | tuple[float, ...]

    def __len__(self) -> int:
        return len(self.text_a)

    def take(self, rows: Sequence[int]) -> Split:
        """The split with only these rows, in this order."""
        return Split(
            tuple(self.text_a[i] for i in rows),
            None if self.text_b is None else tuple(self.text_b[i] for i in rows),
            tuple(self.labels[i] for i in rows),
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts: those of ``text_a``, then those of ``text_b``."""
        return self.text_a + (self.text_b or ())

    def with_texts(self, texts: Sequence[str]) -> Split:
        """The split with other texts, in the order of ``texts``."""
        n_rows, n_texts = len(self), len(self.texts)
        if len(texts) != n_texts:
            raise ValueError(f"a split of {n_texts} texts takes as many others, but got {len(texts)}")
        return replace(
            self, text_a=tuple(texts[:n_rows]), text_b=None if self.text_b is None else tuple(texts[n_rows:])
        )

    def plus(self, other: Split) -> Split:
        """This split followed by another one of the same form."""
        if (self.text_b is None) != (other.text_b is None):
            raise ValueError("splits of single sentences and of pairs cannot be joined")
        joined_b = None if self.text_b is None or other.text_b is None else self.text_b + other.text_b
        return Split(self.text_a + other.text_a, joined_b, self.labels + other.labels)

    def told(self) -> list[Any]:
        """What the rows are, for a content hash; the labels come last."""
        return [self.text_a, self.text_b, self.labels]


def without_labels(text_a: tuple[str, ...], text_b: tuple[str, ...] | None, problem: Problem) -> Split:
    """A split of rows that have no label: each has the mark of its problem instead (-100, or NaN)."""
    n_rows = len(text_a)
    return Split(text_a, text_b, (NO_CLASS,) * n_rows if problem == "classification" else (math.nan,) * n_rows)


@dataclass(frozen=True)
class Task:
    """A task on texts, or on what else its splits hold.

    Class id ``i`` is ``label_names[i]``; names are sorted. Regression has one unnamed label.

    ``metric`` is the name of the metric that searches maximise, as ``autokd.measure.metrics.find_metric`` takes it.
    Selection uses ``valid``; ``test`` is opened once, for finalists. ``unlabelled`` are further texts for
    distillation, which the teacher labels (None: there are none). By ``seed`` splits were carved that the data lack
    (0 where they lack none; None: nothing tells).
    """

    name: str
    train: Split
    valid: Split
    test: Split
    label_names: tuple[str, ...]
    problem: Problem
    metric: str
    notes: tuple[str, ...] = ()  # what the reader should know of how the splits were made
    unlabelled: Split | None = None
    seed: int | None = None

    @property
    def kind(self) -> DataKind:
        """What its rows are: texts, or nodes of a graph."""
        return self.train.kind

    @property
    def n_outputs(self) -> int:
        """Width of a model's logits: the number of classes, 1 for regression."""
        return len(self.label_names) if self.problem == "classification" else 1

    @property
    def is_pair(self) -> bool:
        return self.train.text_b is not None

    @property
    def n_unlabelled(self) -> int:
        """How many unlabelled rows there are."""
        return 0 if self.unlabelled is None else len(self.unlabelled)

    @cached_property
    def content(self) -> str:
        """Content hash of rows, labels and splits (not of the name or metric)."""
        splits = [split.told() for split in (self.train, self.valid, self.test)]
        further = [] if self.unlabelled is None else [self.unlabelled.told()[:-1]]
        return digest([self.problem, self.label_names, splits, *further])

    @property
    def labelled_content(self) -> str:
        """Content hash of the rows with labels, and of how they are split."""
        return replace(self, unlabelled=None).content

    def with_train(self, train: Split) -> Task:
        return replace(self, train=train)
