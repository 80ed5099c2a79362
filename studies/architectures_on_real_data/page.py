"""From the runs to a page: the frontier, scores at each size, differences and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from arms import SIZES
from plan import Cell, Plan, Run
from trainings.tables import averaged, constant, difference, scored, table, told, verdict
from trainings.work import predictions

Done = Mapping[tuple[Any, ...], Mapping[str, Any]]
Chosen = Mapping[tuple[str, str, str], Run]
LEARNT = 0.05  # how far above the largest class alone a teacher must score for its students to tell anything


def page(plan: Plan, done: Done, chosen: Chosen, latency: Mapping[str, Any]) -> str:
    """The whole page."""
    tasks = ", ".join(cell.name for cell in plan.cells)
    head = (
        f"# Students of other shapes on real data\n\nTasks: {tasks}. {plan.seeds} seeds; {_rates(plan)}. "
        "Scores are of the test split; means with 95 % bootstrap intervals over seeds and rows; "
        "differences are paired by row. Work and sizes are shares of the teacher's multiply-accumulates and parameters."
    )
    cells = [_cell(plan, cell, done, chosen) for cell in plan.cells]
    return "\n\n".join([head, _frontier(plan, done, chosen, latency), _differences(plan, done, chosen), *cells]) + "\n"


def _rates(plan: Plan) -> str:
    told = ", ".join(f"{rate:g}" for rate in plan.rates)
    return f"a learning rate of {told} for all" if len(plan.rates) == 1 else f"the best rate of {told} by validation"


def runs_of(plan: Plan, done: Done, run: Run) -> list[Mapping[str, Any]]:
    """The rows of all seeds of an arm at its learning rate."""
    return [done[tuple(replace(run, replicate=seed).about.values())] for seed in range(plan.seeds)]


def _guesses(plan: Plan, done: Done, run: Run) -> list[np.ndarray]:
    return [predictions(row) for row in runs_of(plan, done, run)]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def learnt(plan: Plan, done: Done, chosen: Chosen) -> list[Cell]:
    """The tasks that the teacher has learnt."""
    return [cell for cell in plan.cells if _teacher(plan, done, chosen, cell) >= constant(cell) + LEARNT]


def _teacher(plan: Plan, done: Done, chosen: Chosen, cell: Cell) -> float:
    run = next(run for run in chosen.values() if run.cell.name == cell.name)
    return float(runs_of(plan, done, run)[0]["teacher_test_score"])


def _macs(plan: Plan, done: Done, chosen: Chosen, arm: str, size: str) -> float:
    """A student's work as a share of the teacher's, the mean over tasks."""
    rows = [row for cell in plan.cells for row in runs_of(plan, done, chosen[cell.name, arm, size])]
    return float(np.mean([row["macs"] / row["teacher_macs"] for row in rows]))


def _frontier(plan: Plan, done: Done, chosen: Chosen, latency: Mapping[str, Any]) -> str:
    """Of each student its mean over tasks of what it scores below the teacher, and what it costs."""
    lines: list[tuple[float, float, list[str]]] = []
    cells = learnt(plan, done, chosen)
    for arm in plan.arms:
        for size in SIZES:
            rows = [runs_of(plan, done, chosen[cell.name, arm.name, size]) for cell in cells]
            gap = float(np.mean([_mean(own, "test_score") - own[0]["teacher_test_score"] for own in rows]))
            macs = _macs(plan, done, chosen, arm.name, size)
            speed = [f"{_speedup(latency, f'{arm.name}|{size}', batch):.1f}x" for batch in (1, 32)]
            lines.append((round(macs, 3), -gap, [arm.name, size, f"{macs:.3f}", f"{gap:+.4f}", *speed]))
    best, rows_told = np.inf, []
    for _, loss, line in sorted(lines):
        rows_told.append([*line, "yes" if loss < best else ""])
        best = min(best, loss)
    head = ["student", "size", "MACs", "score - teacher", "batch 1", "batch 32", "on the frontier"]
    return (
        f"## The frontier\n\nOf {', '.join(cell.name for cell in cells)}: the tasks on which the teacher scores at "
        f"least {LEARNT:g} above the largest class alone (means over them), from the least work to the most. A student "
        "is on the frontier where nothing of as little work scores as high in the mean; neighbours differ by less than "
        "their intervals. Speed: times as fast as the teacher in ONNX in the same run, one thread, texts of "
        f"{latency['length']} tokens, of the students for {plan.cells[0].name} (supernets give others for other "
        f"tasks).\n\n{table(head, rows_told)}"
    )


def _speedup(latency: Mapping[str, Any], model: str, batch: int) -> float:
    times = {row["model"]: row for row in latency["times"] if row["batch"] == batch}
    return float(times["teacher"]["median_ms"] / times[model]["median_ms"])


def _differences(plan: Plan, done: Done, chosen: Chosen) -> str:
    lines, cells = [], learnt(plan, done, chosen)
    pairs = [(arm.name, other) for arm in plan.arms for other in arm.beside]
    for (name, other), size in product(pairs, SIZES):
        apart = []
        for cell in plan.cells:
            pair = [_guesses(plan, done, chosen[cell.name, each, size]) for each in (name, other)]
            apart.append(difference(cell, *pair))
        every = averaged([one for cell, one in zip(plan.cells, apart, strict=True) if cell in cells])
        work = "{:.2f} / {:.2f}".format(*(_macs(plan, done, chosen, each, size) for each in (name, other)))
        parts = [f"{mean:+.3f}" for mean, _, _ in apart]
        lines.append([f"{name} above {other}", size, work, *parts, told(every, "+"), verdict(every)])
    head = ["claim", "size", "MACs", *(cell.name for cell in plan.cells), "mean [95 %]", "here"]
    return (
        "## Differences\n\nA claim holds where the interval of the mean over the tasks that the teacher has learnt "
        f"({', '.join(cell.name for cell in cells)}), taken as independent, lies above 0. Of {len(lines)} intervals at "
        "95 % one in twenty errs by chance. Each supernet is one training: its own chance is in no interval. Students "
        "of supernets start from a teacher that knows no task, with a fresh classifier; all others from the fine-tuned "
        f"one.\n\n{table(head, lines)}"
    )


def _cell(plan: Plan, cell: Cell, done: Done, chosen: Chosen) -> str:
    lines, teacher = [], 0.0
    for size in SIZES:
        for arm in plan.arms:
            run = chosen[cell.name, arm.name, size]
            rows = runs_of(plan, done, run)
            teacher = rows[0]["teacher_test_score"]
            lines.append(
                [
                    arm.name,
                    size,
                    f"{run.lr:g}",
                    told(scored(cell, _guesses(plan, done, run))),
                    ", ".join(f"{row['test_score']:.4f}" for row in rows),
                    f"{_mean(rows, 'macs') / rows[0]['teacher_macs']:.3f}",
                    f"{_mean(rows, 'params') / 1e6:.2f}M",
                ]
            )
    metric, least = rows[0]["metric"], constant(cell)
    head = ["student", "size", "lr", f"{metric} [95 %]", "seeds", "MACs", "params stored"]
    known = f"The teacher scores {teacher:.4f}, the largest class alone {least:.4f}."
    return f"## {cell.name}\n\n{rows_read(cell)} {known}\n\n{table(head, lines)}"


def rows_read(cell: Cell) -> str:
    return f"{cell.rows or 'All'} training rows, {cell.epochs:g} epochs, batches of {cell.batch_size}."
