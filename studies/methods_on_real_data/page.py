"""From the runs to a page: means, intervals, differences to plain distillation, and what each paper claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from arms import ARMS
from plan import Cell, Plan
from work import load_cell, predictions

from autokd.measure.intervals import interval_of, paired_interval
from autokd.measure.metrics import find_metric

Difference = tuple[float, float, float]  # mean, low, high
Rows = Mapping[tuple[str, str, float, int], Mapping[str, Any]]


def page(plan: Plan, rows: Rows, rates: Mapping[tuple[str, str], float], about: Mapping[str, Any]) -> str:
    """The whole page."""
    head = (
        "# Training methods on real data\n\n"
        f"Student: 3 of MiniLM's 6 layers. {plan.seeds} seeds; learning rates chosen on validation for every arm from "
        f"the same three. Device: {about['device']}. Scores are of the test split; means with 95 % bootstrap intervals "
        "over seeds and rows; differences are paired by row. What a step costs is in `cost.md`."
    )
    claims = _claims(plan, rows, rates)
    return "\n\n".join([head, claims, *(_cell(plan, cell, rows, rates) for cell in plan.cells)]) + "\n"


def _claims(plan: Plan, rows: Rows, rates: Mapping[tuple[str, str], float]) -> str:
    """What each paper claims to be better than what, the difference on each task, and in the mean over them."""
    found: dict[str, list[tuple[str, Difference]]] = {}
    for arm in ARMS:
        for cell in plan.cells if arm.claim else ():
            if arm in cell.arms:
                pair = tuple(_predicted(plan, cell, name, rows, rates) for name in (arm.name, arm.claim))
                found.setdefault(f"{arm.name} above {arm.claim}", []).append((cell.name, _paired(cell, *pair)))
    lines = []
    for claim, differences in found.items():
        over_all = [("mean", _mean([each for _, each in differences]))] if len(differences) > 1 else []
        for task, (mean, low, high) in (*differences, *over_all):
            holds = "holds" if low > 0 else "reversed" if high < 0 else "undecided"
            lines.append([claim, task, f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]", holds])
    return (
        "## Claims\n\nA claim holds where the interval lies above 0. The mean over tasks takes them as independent, "
        f"with intervals by the normal approximation.\n\n{table(['claim', 'task', 'difference [95 %]', 'here'], lines)}"
    )


def _paired(cell: Cell, first: list[np.ndarray], second: list[np.ndarray]) -> Difference:
    task = load_cell(cell)
    return paired_interval(find_metric(task.metric), np.array(task.test.labels), first, second, task.n_outputs)


def _mean(differences: Sequence[Difference]) -> Difference:
    """Of independent differences, with a 95 % interval by the normal approximation."""
    mean = float(np.mean([middle for middle, _, _ in differences]))
    half = float(np.sqrt(sum(((high - low) / 2) ** 2 for _, low, high in differences)) / len(differences))
    return mean, mean - half, mean + half


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names."""
    top, *body = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([top, "|---|" + "---:|" * (len(head) - 1), *body])


def _cell(plan: Plan, cell: Cell, rows: Rows, rates: Mapping[tuple[str, str], float]) -> str:
    task, base = load_cell(cell), "dense" if cell.prunes else "logits KD"
    made = {arm.name: _predicted(plan, cell, arm.name, rows, rates) for arm in cell.arms}
    lines = []
    for arm in cell.arms:
        runs = _runs(plan, cell, arm.name, rows, rates)
        mean, low, high = interval_of(
            find_metric(task.metric), np.array(task.test.labels), made[arm.name], task.n_outputs
        )
        difference = _paired(cell, made[arm.name], made[base]) if arm.name != base else None
        lines.append(
            [
                arm.name,
                f"{rates[cell.name, arm.name]:g}",
                f"{mean:.4f} [{low:.4f}, {high:.4f}]",
                "" if difference is None else "{:+.4f} [{:+.4f}, {:+.4f}]".format(*difference),
                ", ".join(f"{row['test_score']:.4f}" for row in runs),
                f"{np.mean([row['params'] for row in runs]) / 1e6:.1f}M",
                f"{np.mean([row['nonzero_params'] for row in runs]) / 1e6:.1f}M",
                f"{np.mean([row['macs'] for row in runs]) / 1e6:.0f}M",
            ]
        )
    head = ["arm", "lr", f"{task.metric} [95 %]", f"minus {base}", "seeds", "params", "not zero", "MACs"]
    sizes = f"{len(task.train)} training rows, {cell.epochs:g} epochs, {len(task.test)} test rows."
    return f"## {cell.name}\n\n{sizes}\n\n{table(head, lines)}"


def _predicted(
    plan: Plan, cell: Cell, arm: str, rows: Rows, rates: Mapping[tuple[str, str], float]
) -> list[np.ndarray]:
    return [predictions(row) for row in _runs(plan, cell, arm, rows, rates)]


def _runs(
    plan: Plan, cell: Cell, arm: str, rows: Rows, rates: Mapping[tuple[str, str], float]
) -> list[Mapping[str, Any]]:
    return [rows[cell.name, arm, rates[cell.name, arm], replicate] for replicate in range(plan.seeds)]
