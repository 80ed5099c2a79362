"""From the runs to a page: means, intervals, differences to plain distillation, and what each paper claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from plan import Cell, Plan
from work import load_cell

from autokd.core.task import Task
from autokd.measure.intervals import interval_of, paired_interval
from autokd.measure.metrics import find_metric

Rows = Mapping[tuple[str, str, float, int], Mapping[str, Any]]


def page(plan: Plan, rows: Rows, rates: Mapping[tuple[str, str], float], about: Mapping[str, Any]) -> str:
    """The whole page."""
    head = (
        "# Training methods on real data\n\n"
        f"Student: 3 of MiniLM's 6 layers. {plan.seeds} seeds; learning rates chosen on validation for every arm from "
        f"the same three. Device: {about['device']}. Scores are of the test split; means with 95 % bootstrap intervals "
        "over seeds and rows; differences are paired by row."
    )
    return "\n\n".join([head, *(_cell(plan, cell, rows, rates) for cell in plan.cells)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names."""
    top, *body = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([top, "|---|" + "---:|" * (len(head) - 1), *body])


def _cell(plan: Plan, cell: Cell, rows: Rows, rates: Mapping[tuple[str, str], float]) -> str:
    task = load_cell(cell)
    labels, base = np.array(task.test.labels), "dense" if cell.prunes else "logits KD"
    made = {arm.name: _runs(plan, cell, arm.name, rows, rates) for arm in cell.arms}
    predicted = {name: [np.array(row["predicted"]) for row in runs] for name, runs in made.items()}
    metric, n_outputs = find_metric(task.metric), task.n_outputs
    lines, seconds = [], np.mean([row["seconds"] for row in made[base]])
    for arm in cell.arms:
        mean, low, high = interval_of(metric, labels, predicted[arm.name], n_outputs)
        cells = [arm.name, f"{rates[cell.name, arm.name]:g}", f"{mean:.4f} [{low:.4f}, {high:.4f}]"]
        for other in (base, arm.claim):
            cells.append(_difference(metric, labels, predicted, (arm.name, other), n_outputs))
        runs = made[arm.name]
        cells += [
            ", ".join(f"{row['test_score']:.4f}" for row in runs),
            f"{np.mean([row['params'] for row in runs]) / 1e6:.1f}M",
            f"{np.mean([row['macs'] for row in runs]) / 1e6:.0f}M",
            f"{np.mean([row['seconds'] for row in runs]) / seconds:.2f}",
        ]
        lines.append(cells)
    head = ["arm", "lr", f"{task.metric} [95 %]", f"minus {base}", "minus what its paper claims to beat", "seeds"]
    head += ["params", "MACs", f"time / {base}"]
    return f"## {cell.name}\n\n{_sizes(cell, task)}\n\n{table(head, lines)}"


def _runs(
    plan: Plan, cell: Cell, arm: str, rows: Rows, rates: Mapping[tuple[str, str], float]
) -> list[Mapping[str, Any]]:
    return [rows[cell.name, arm, rates[cell.name, arm], replicate] for replicate in range(plan.seeds)]


def _difference(
    metric: Any, labels: np.ndarray, predicted: Mapping[str, list[np.ndarray]], names: tuple[str, str], n_outputs: int
) -> str:
    first, second = names
    if not second or first == second:
        return ""
    mean, low, high = paired_interval(metric, labels, predicted[first], predicted[second], n_outputs)
    told = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
    return told if second in ("logits KD", "dense") else f"{told} ({second})"


def _sizes(cell: Cell, task: Task) -> str:
    return f"{len(task.train)} training rows, {cell.epochs:g} epochs, {len(task.test)} test rows."
