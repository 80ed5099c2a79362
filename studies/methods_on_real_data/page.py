"""From the runs to a page: means, intervals, differences to plain distillation, and what each paper claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from arms import ARMS
from plan import Cell, Plan
from trainings.tables import Difference, averaged, difference, scored, table, told, verdict
from trainings.work import load_cell, predictions

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
                found.setdefault(f"{arm.name} above {arm.claim}", []).append((cell.name, difference(cell, *pair)))
    lines = []
    for claim, differences in found.items():
        over_all = [("mean", averaged([each for _, each in differences]))] if len(differences) > 1 else []
        for task, apart in (*differences, *over_all):
            lines.append([claim, task, told(apart, "+"), verdict(apart)])
    return (
        "## Claims\n\nA claim holds where the interval lies above 0. The mean over tasks takes them as independent, "
        f"with intervals by the normal approximation.\n\n{table(['claim', 'task', 'difference [95 %]', 'here'], lines)}"
    )


def _cell(plan: Plan, cell: Cell, rows: Rows, rates: Mapping[tuple[str, str], float]) -> str:
    task, base = load_cell(cell), "dense" if cell.prunes else "logits KD"
    made = {arm.name: _predicted(plan, cell, arm.name, rows, rates) for arm in cell.arms}
    lines = []
    for arm in cell.arms:
        runs = _runs(plan, cell, arm.name, rows, rates)
        lines.append(
            [
                arm.name,
                f"{rates[cell.name, arm.name]:g}",
                told(scored(cell, made[arm.name])),
                told(difference(cell, made[arm.name], made[base]), "+") if arm.name != base else "",
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
