"""Scores with intervals, paired differences between trainings, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autokd.measure.intervals import interval_of, paired_interval
from autokd.measure.metrics import find_metric
from trainings.work import Cell, load_cell

Difference = tuple[float, float, float]  # mean, low, high
Guesses = Sequence[np.ndarray]  # what each seed's training predicted for each test row


def scored(cell: Cell, guesses: Guesses) -> Difference:
    """The mean test score over seeds, with its 95 % interval over seeds and rows."""
    task = load_cell(cell)
    return interval_of(find_metric(task.metric), np.array(task.test.labels), guesses, task.n_outputs)


def constant(cell: Cell) -> float:
    """The test score of a classifier that always says the largest class of the training rows."""
    task = load_cell(cell)
    labels = np.array(task.test.labels)
    largest = int(np.bincount(np.array(task.train.labels)).argmax())
    return find_metric(task.metric).of(np.full(len(labels), largest), labels, task.n_outputs)


def difference(cell: Cell, first: Guesses, second: Guesses) -> Difference:
    """How much higher the first score, rows paired, with its 95 % interval."""
    task = load_cell(cell)
    return paired_interval(find_metric(task.metric), np.array(task.test.labels), first, second, task.n_outputs)


def averaged(differences: Sequence[Difference]) -> Difference:
    """Of independent differences, with a 95 % interval by the normal approximation."""
    mean = float(np.mean([middle for middle, _, _ in differences]))
    half = float(np.sqrt(sum(((high - low) / 2) ** 2 for _, low, high in differences)) / len(differences))
    return mean, mean - half, mean + half


def verdict(apart: Difference) -> str:
    """Whether a claim that the difference is above 0 holds."""
    _, low, high = apart
    return "holds" if low > 0 else "reversed" if high < 0 else "undecided"


def told(value: Difference, sign: str = "") -> str:
    """A value with its interval, as a cell of a table."""
    mean, low, high = value
    return f"{mean:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names."""
    top, *body = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([top, "|---|" + "---:|" * (len(head) - 1), *body])
