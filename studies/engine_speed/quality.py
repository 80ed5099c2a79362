"""Quality: final scores of several seeds per arm on a task with signal, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from crew import Crew
from plan import ARMS, Arm, Plan
from texts import read

LAYERS = 3
DRAWS = 2000


def quality(plan: Plan, work: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains every arm with every seed, two processes of one thread at a time (no clock runs here)."""
    labels = np.array(read(plan.quality_task, "dev").labels)
    arms = [replace(arm, processes=1, threads=1) for arm in ARMS if arm.name in plan.quality_arms]

    def right(arm: Arm) -> np.ndarray:
        found = _right(arm, plan, work, labels)
        say(f"{plan.quality_task}: {arm.name} scores {found.mean():.4f} over {plan.seeds} seeds")
        return found

    with ThreadPoolExecutor(2) as pool:
        made = dict(zip([arm.name for arm in arms], pool.map(right, arms), strict=True))
    reference = made[arms[0].name]
    return {
        "task": plan.quality_task,
        "layers": LAYERS,
        "train_rows": plan.quality_rows,
        "epochs": plan.quality_epochs,
        "dev_rows": len(labels),
        "reference": arms[0].name,
        "arms": {name: _told(found, reference) for name, found in made.items()},
    }


def _right(arm: Arm, plan: Plan, work: Path, labels: np.ndarray) -> np.ndarray:
    """Which dev rows each seed's student gets right: [seeds, rows]."""
    crew = Crew(arm, work)
    try:
        crew.ready()
        crew.ask({"load": {"task": plan.quality_task, "layers": LAYERS, "limit": plan.quality_rows}})
        request = {"rows": [], "epochs": plan.quality_epochs, "dropout": arm.dropout, "logits": True}
        answers = [crew.ask({"train": {**request, "seed": seed}})[0] for seed in range(plan.seeds)]
    finally:
        crew.close()
    return np.stack([np.array(answer["logits"]).argmax(axis=1) == labels for answer in answers])


def _told(found: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    low, high = _interval(found, None)
    apart_low, apart_high = _interval(found, reference)
    return {
        "scores": found.mean(axis=1).tolist(),
        "mean": float(found.mean()),
        "low": low,
        "high": high,
        "difference": float(found.mean() - reference.mean()),
        "difference_low": apart_low,
        "difference_high": apart_high,
    }


def _interval(found: np.ndarray, reference: np.ndarray | None) -> tuple[float, float]:
    """95 % bootstrap interval of the mean accuracy over seeds and rows, or of its difference, rows paired."""
    draw = np.random.default_rng(0)
    means = np.empty(DRAWS)
    for i in range(DRAWS):
        rows = draw.integers(found.shape[1], size=(found.shape[1],))
        means[i] = _resampled(found, rows, draw)
        if reference is not None:
            means[i] -= _resampled(reference, rows, draw)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _resampled(found: np.ndarray, rows: np.ndarray, draw: np.random.Generator) -> float:
    seeds = draw.integers(len(found), size=(len(found),))
    return float(found[seeds][:, rows].mean())
