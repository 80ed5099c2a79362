"""From tables to Plotly figures, as the plain JSON that plotly.js reads.

Figures carry no colours of text, paper or grid: the page sets them, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from autokd.core.canonical import Json
from autokd.core.latency import RUNTIMES, LatencySpec
from autokd.core.metric_file import metric_title
from autokd.core.objectives import MEASURED
from autokd.core.result import StudyResult
from autokd.report.about import amounts
from autokd.report.axes import axes, bars, cost_layout, cost_menu
from autokd.report.deployment import Deployed, deployed
from autokd.report.facts import arms, spending, trial_rows
from autokd.report.marks import COLORS, arm_traces, hover, level, markers, points_trace, runtime_trace
from autokd.report.quantities import ms, size, times
from autokd.report.standing import cost_axes, points, tried_axes

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
    made = (
        frontier(result),
        runtimes(result),
        tried(result),
        progress(result),
        importance(result),
        cost_of_study(result),
    )
    return [figure for figure in made if figure is not None]


def frontier(result: StudyResult) -> Figure | None:
    """Test scores with intervals against cost: finalists, teacher, controls."""
    groups = {
        kind: [p for p in points(result) if p.kind == kind] for kind in ("control", "teacher", "finalist")
    }  # on top: last
    groups = {kind: group for kind, group in groups.items() if group}
    if "finalist" not in groups:
        return None
    drawn = {cost: [points_trace(kind, group, cost) for kind, group in groups.items()] for cost in cost_axes(result)}
    cost, traces = next(iter(drawn.items()))
    layout = cost_layout(cost, f"test {metric_title(result.settings.metric)}", traces)
    layout["updatemenus"] = [cost_menu(drawn)]
    if result.teacher is not None:
        layout["shapes"] = [level(result.teacher.test_score)]
    n_seeds = min(point.n_seeds for point in groups["finalist"])
    caption = (
        f"Test scores, opened once, mean of {n_seeds} seed{'s' if n_seeds > 1 else ''}; bars are 95 % intervals over "
        "examples and seeds. Up and to the left is better; the dashed line is the teacher. "
        "Shares in the table are of the teacher's."
    )
    if "latency" in drawn:
        spec = LatencySpec.parse(result.settings.latency)
        caption += f" Latencies are those in {spec.runtime}, of what ships as int8 those in onnx-int8; "
        caption += "controls of a finalist's size have that finalist's."
    if len(result.settings.teachers) > 1 and result.teacher is not None:
        caption += f" Of several teachers, {result.teacher.name}, that of the best student, is shown."
    return Figure("frontier", "The frontier", caption, tuple(traces), layout)


def runtimes(result: StudyResult) -> Figure | None:
    """Test scores of the seeds that ship against the latency of each runtime."""
    rows = [(finalist.trial, row) for finalist in result.front for row in deployed(finalist)]
    traces = [
        runtime_trace(
            runtime, [(f"{trial}", row.form, _told(row)) for trial, row in rows if row.form.runtime == runtime]
        )
        for runtime in RUNTIMES
        if any(row.form.runtime == runtime for _, row in rows)
    ]
    if not traces:
        return None
    teacher = result.teacher
    if teacher is not None and teacher.latency_ms is not None:
        label = hover(f"teacher {teacher.name}", ms(teacher.latency_ms))
        mark = markers("teacher", [teacher.latency_ms], [teacher.test_score], [label], COLORS["teacher"])
        traces.append({**mark, "marker": {**mark["marker"], "symbol": "diamond", "size": 12}})
    layout = cost_layout("latency", f"test {metric_title(result.settings.metric)}", traces)
    caption = "The same students in each runtime, with the numbers of their trials; one seed each. Left is faster."
    return Figure("runtimes", "Runtimes", caption, tuple(traces), layout)


def _told(row: Deployed) -> str:
    speedup = "" if row.speedup is None else f", {times(row.speedup)} the teacher's speed"
    return f"{ms(row.form.latency_ms)}{speedup}, {size(row.form.size_bytes)}"


def tried(result: StudyResult) -> Figure | None:
    """Validation scores of all complete trials against cost."""
    drawn = {cost: _tried(result, cost) for cost in tried_axes(result)}
    cost, traces = next(iter(drawn.items()))
    if not traces:
        return None
    layout = cost_layout(cost, f"validation {metric_title(result.settings.metric)}", traces)
    layout["updatemenus"] = [cost_menu(drawn)]
    caption = "Every complete trial of the search, one seed each. Selection used these scores and no others."
    return Figure("tried", "What was tried", caption, tuple(traces), layout)


def _tried(result: StudyResult, cost: str) -> list[dict[str, Json]]:
    """Complete trials by what they were run for, over one cost."""
    traces = []
    for role, name in (("search", "proposed"), ("random", "random arm"), ("enqueued", "asked for")):
        rows = [r for r in trial_rows(result) if r.record.role == role and r.record.state == "complete"]
        xs, ys = [r.value(MEASURED[cost]) for r in rows], [r.value("valid_score") for r in rows]
        labels = [hover(f"trial {r.record.number}", r.pipeline) for r in rows]
        traces += [markers(name, xs, ys, labels, COLORS[role])] if rows else []
    return traces


def progress(result: StudyResult) -> Figure | None:
    """Validation scores, and the best so far of each arm, against the spent budget."""
    found, budget = arms(result), amounts(result)[0]
    if not found:
        return None
    traces: list[dict[str, Json]] = []
    last = max(step.spent for steps in found.values() for step in steps)
    for arm, steps in found.items():
        traces += arm_traces(arm, steps, budget, last)
    layout = axes(f"budget spent ({budget.unit})", f"validation {metric_title(result.settings.metric)}")
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
