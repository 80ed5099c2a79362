"""From tables to Plotly figures, as the plain JSON that plotly.js reads.

Figures carry no colours of text, paper or grid: the page sets them, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from autokd.core.canonical import Json
from autokd.core.result import StudyResult
from autokd.report.about import amounts
from autokd.report.facts import arms, spending, trial_rows
from autokd.report.marks import (
    COLORS,
    COST_NAMES,
    arm_traces,
    axes,
    bars,
    cost_axes_layout,
    cost_menu,
    hover,
    level,
    markers,
    points_trace,
)
from autokd.report.standing import cost_axes, points

MOST_PARAMETERS = 12  # of the chart of importances


@dataclass(frozen=True)
class Figure:
    """One chart: its place's name, a title, what it shows in a sentence, and plotly.js's data and layout."""

    name: str
    title: str
    caption: str
    data: tuple[dict[str, Json], ...]
    layout: dict[str, Json]


def figures(result: StudyResult) -> list[Figure]:
    """Every chart that this study has data for, in the order of the page."""
    made = (frontier(result), tried(result), progress(result), importance(result), cost_of_study(result))
    return [figure for figure in made if figure is not None]


def frontier(result: StudyResult) -> Figure | None:
    """Test scores with intervals against cost: finalists, teacher, controls."""
    groups = {
        kind: [p for p in points(result) if p.kind == kind] for kind in ("control", "teacher", "finalist")
    }  # on top: last
    groups = {kind: group for kind, group in groups.items() if group}
    if "finalist" not in groups:
        return None
    costs = cost_axes(result)
    traces = [points_trace(kind, group, costs[0]) for kind, group in groups.items()]
    every = [point.costs[costs[0]] for group in groups.values() for point in group]
    layout = cost_axes_layout(COST_NAMES[costs[0]], f"test {result.settings.metric}", every)
    layout["updatemenus"] = [cost_menu(list(groups.values()), costs)]
    if result.teacher is not None:
        layout["shapes"] = [level(result.teacher.test_score)]
    n_seeds = min(point.n_seeds for point in groups["finalist"])
    caption = (
        f"Test scores, opened once, mean of {n_seeds} seed{'s' if n_seeds > 1 else ''}; bars are 95 % intervals over "
        "examples and seeds. Up and to the left is better; the dashed line is the teacher. "
        "Shares in the table are of the teacher's."
    )
    return Figure("frontier", "The frontier", caption, tuple(traces), layout)


def tried(result: StudyResult) -> Figure | None:
    """Validation scores of all complete trials against cost."""
    cost = cost_axes(result)[0]
    traces = []
    for role, name in (("search", "proposed"), ("random", "random arm")):
        rows = [r for r in trial_rows(result) if r.record.role == role and r.record.state == "complete"]
        xs, ys = [r.value(cost) for r in rows], [r.value("valid_score") for r in rows]
        labels = [hover(f"trial {r.record.number}", r.pipeline) for r in rows]
        traces += [markers(name, xs, ys, labels, COLORS[role])] if rows else []
    if not traces:
        return None
    every = [x for trace in traces for x in trace["x"] if x]
    layout = cost_axes_layout(COST_NAMES[cost], f"validation {result.settings.metric}", every)
    caption = "Every complete trial of the search, one seed each. Selection used these scores and no others."
    return Figure("tried", "What was tried", caption, tuple(traces), layout)


def progress(result: StudyResult) -> Figure | None:
    """Validation scores, and the best so far of each arm, against the spent budget."""
    found, budget = arms(result), amounts(result)[0]
    if not found:
        return None
    traces: list[dict[str, Json]] = []
    last = max(step.spent for steps in found.values() for step in steps)
    for arm, steps in found.items():
        traces += arm_traces(arm, steps, budget, last)
    layout = axes(f"budget spent ({budget.unit})", f"validation {result.settings.metric}")
    caption = (
        "Points are trials, lines the best so far. The random arm is the study's own yardstick: "
        "fewer trials, drawn without guidance."
    )
    return Figure("progress", "Score against spent budget", caption, tuple(traces), layout)


def importance(result: StudyResult) -> Figure | None:
    """How much each parameter of the space explains of each metric."""
    metrics = {name: shares for name, shares in result.importances.items() if any(shares.values())}
    if not metrics:
        return None
    every = {name for shares in metrics.values() for name in shares}
    names = sorted(every, key=lambda name: (_largest(metrics.values(), name), name))[-MOST_PARAMETERS:]
    shades = ("#2f6fed", "#e8710a", "#8b5cf6")
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": metric,
            "y": [escape(p) for p in names],
            "x": [shares.get(p, 0.0) for p in names],
            "marker": {"color": shades[i % len(shades)]},
            "hovertemplate": f"%{{y}}: %{{x:.0%}}<extra>{escape(metric)}</extra>",
        }
        for i, (metric, shares) in enumerate(metrics.items())
    ]
    layout = bars("share of the variation that the parameter explains", len(names) * len(metrics))
    layout["xaxis"]["tickformat"] = ".0%"
    caption = "Estimated by PED-ANOVA from this study's complete trials; with few trials it is a hint, not a law."
    if len(every) > len(names):
        caption += f" The {len(names)} largest of {len(every)} parameters."
    return Figure("importance", "What mattered", caption, tuple(traces), layout)


def cost_of_study(result: StudyResult) -> Figure | None:
    """Device time by purpose."""
    rows = spending(result)
    if not rows:
        return None
    total = sum(seconds for _, seconds in rows)
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _ in reversed(rows)],
        "x": [seconds / 60 for _, seconds in reversed(rows)],
        "text": [f"{seconds / total:.0%}" for _, seconds in reversed(rows)],
        "textposition": "auto",
        "marker": {"color": COLORS["bar"]},
        "hovertemplate": "%{y}: %{x:.2f} min<extra></extra>",
    }
    layout = bars(f"{result.settings.device} minutes", len(rows))
    return Figure("cost", "Where the budget went", "Everything counts, failures and waiting too.", (trace,), layout)


def _largest(metrics: Iterable[Any], name: str) -> float:
    return max(float(shares.get(name, 0.0)) for shares in metrics)
