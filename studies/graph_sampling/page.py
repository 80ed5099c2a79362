"""The study's figures as one page: means, and paired differences to uniform sampling with 95 % intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

QUANTITIES = {"distance": "relative distance", "accuracy": "test accuracy", "step_ms": "CPU ms a step"}
_FORMS = {"distance": "{:.3f}", "accuracy": "{:.4f}", "step_ms": "{:.2f}"}


def page(results: Mapping[str, Any]) -> str:
    """Markdown."""
    parts = ["# Neighbour sampling: results", f"Machine: {results['machine']}."]
    for name, found in results["runs"].items():
        runs = found["arms"]
        seeds = len(next(iter(runs.values())))
        parts += [f"## {name}", f"{seeds} seeds, {found['steps']} steps of {found['batch']} nodes."]
        parts += [_means(runs), "Paired differences to uniform sampling of the same k:", _paired(runs)]
    return "\n\n".join(parts) + "\n"


def _values(runs: Sequence[Mapping[str, float]], quantity: str) -> np.ndarray:
    return np.array([run[quantity] for run in runs])


def _means(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    lines = [f"| sampler | {' | '.join(QUANTITIES.values())} |", "|---|---|---|---|"]
    for arm, each in runs.items():
        cells = [_FORMS[quantity].format(_values(each, quantity).mean()) for quantity in QUANTITIES]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _paired(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    lines = [f"| sampler | {' | '.join(QUANTITIES.values())} | seeds with less distance |", "|---|---|---|---|---|"]
    for arm, each in runs.items():
        even = f"uniform,{arm.partition(',')[2]}" if "," in arm else ""
        if even not in runs or arm == even:
            continue
        cells = []
        for quantity, form in _FORMS.items():
            mean, half = difference(_values(each, quantity), _values(runs[even], quantity))
            cells.append(f"{form.format(mean)} ± {form.format(half)}")
        better = int((_values(each, "distance") < _values(runs[even], "distance")).sum())
        lines.append(f"| {arm} | {' | '.join(cells)} | {better} of {len(each)} |")
    return "\n".join(lines)


def difference(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """The mean of paired differences, and half the width of its 95 % interval (Student's t)."""
    apart = left - right
    if len(apart) < 2:
        return float(apart.mean()), float("nan")
    half = t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    return float(apart.mean()), float(half)
