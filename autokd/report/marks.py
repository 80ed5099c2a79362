"""The pieces that figures are made of: traces, axes, labels, as the plain JSON that plotly.js reads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from autokd.core.canonical import Json
from autokd.report.about import Amount
from autokd.report.facts import Step
from autokd.report.standing import Point

COST_NAMES = {"macs": "multiply-accumulates per example", "params": "parameters"}
COLORS = {
    "finalist": "#2f6fed",
    "teacher": "#8b5cf6",
    "control": "#e8710a",
    "search": "#2f6fed",
    "random": "#9aa3ad",
    "bar": "#2f6fed",
}


def points_trace(kind: str, group: Sequence[Point], cost: str) -> dict[str, Json]:
    """Networks with test scores: error bars are their intervals."""
    symbol = {"finalist": "circle", "teacher": "diamond", "control": "square"}[kind]
    names = {"finalist": "confirmed students", "teacher": "teacher", "control": "controls"}
    trace: dict[str, Json] = {
        "type": "scatter",
        "mode": "lines+markers" if kind == "finalist" else "markers",
        "name": names[kind],
        "legendrank": list(names).index(kind),
        "x": [point.costs[cost] for point in group],
        "y": [point.test_score for point in group],
        "text": [_point_hover(point) for point in group],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 12, "symbol": symbol, "color": COLORS[kind], "line": {"width": 1, "color": "#ffffff"}},
        "line": {"color": COLORS[kind], "width": 1.5, "dash": "dot"},
    }
    if kind != "teacher":
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "thickness": 1.5,
            "width": 4,
            "color": COLORS[kind],
            "array": [(p.high if p.high is not None else p.test_score) - p.test_score for p in group],
            "arrayminus": [p.test_score - (p.low if p.low is not None else p.test_score) for p in group],
        }
    return trace


def _point_hover(point: Point) -> str:
    name = {"finalist": "trial ", "control": "control ", "teacher": "teacher "}[point.kind] + point.label
    interval = "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"
    lines = [f"test {point.test_score:.3f}{interval}, validation {point.valid_score:.3f}"]
    lines.append(f"{short(point.costs['params'])} parameters, {short(point.costs['macs'])} MACs")
    return hover(name, *lines, point.pipeline)


def cost_menu(groups: Sequence[Sequence[Point]], axes: Sequence[str]) -> dict[str, Json]:
    """Buttons that change the cost on the horizontal axis; ``groups`` are the traces in their order."""
    buttons = [
        {
            "label": {"macs": "MACs", "params": "parameters"}[cost],
            "method": "update",
            "args": [
                {"x": [[point.costs[cost] for point in group] for group in groups]},
                {"xaxis.title.text": COST_NAMES[cost]},
            ],
        }
        for cost in axes
    ]
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "showactive": True,
        "x": 1,
        "xanchor": "right",
        "y": 1.16,
        "yanchor": "top",
        "pad": {"r": 0, "t": 0},
    }


def arm_traces(arm: str, steps: Sequence[Step], budget: Amount, last: float) -> list[dict[str, Json]]:
    """One arm over the spent budget: its trials, and a line for the best so far that goes on to ``last``."""
    name = {"search": "proposed", "random": "random arm"}[arm]
    xs = [step.spent / budget.scale for step in steps]
    labels = [hover(f"trial {step.number}", step.pipeline) for step in steps]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": f"best {name}",
        "x": [*xs, last / budget.scale],
        "y": [*(step.best for step in steps), steps[-1].best],
        "line": {"shape": "hv", "width": 2, "color": COLORS[arm]},
        "hoverinfo": "skip",
    }
    return [line, markers(name, xs, [step.score for step in steps], labels, COLORS[arm])]


def markers(
    name: str, xs: Sequence[float | None], ys: Sequence[float | None], labels: Sequence[str], color: str
) -> dict[str, Json]:
    """Plain points with a label each."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(xs),
        "y": list(ys),
        "text": list(labels),
        "hovertemplate": "%{text}<br>%{y:.4f}<extra></extra>",
        "marker": {"size": 8, "color": color, "opacity": 0.75},
    }


def axes(x: str, y: str) -> dict[str, Any]:
    """The layout of a scatter chart with linear axes."""
    return {
        "xaxis": {"title": {"text": x}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": escape(y)}},
        "height": 440,
        "hovermode": "closest",
    }


def cost_axes_layout(x: str, y: str, costs: Sequence[float]) -> dict[str, Any]:
    """The layout of a scatter chart over a cost, on a logarithmic axis with as many labels as its span can hold."""
    spans_decades = bool(costs) and max(costs) > 30 * min(costs)
    layout = axes(x, y)
    layout["xaxis"] = {
        "title": {"text": x},
        "type": "log",
        "dtick": "D2" if spans_decades else "D1",
        "tickformat": "~s",
    }
    return layout


def bars(x: str, n_bars: int) -> dict[str, Any]:
    """The layout of a chart of horizontal bars, as high as they need."""
    return {
        "xaxis": {"title": {"text": x}, "rangemode": "tozero"},
        "yaxis": {"automargin": True, "ticksuffix": "  "},
        "height": 130 + 24 * n_bars,
        "bargap": 0.3,
    }


def level(y: float) -> dict[str, Json]:
    """A horizontal dashed line at a score, the teacher's."""
    line = {"color": COLORS["teacher"], "dash": "dash", "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def hover(title: str, *lines: str) -> str:
    """Text for a mark's label, escaped (plotly.js reads some HTML), long lines wrapped at arrows."""
    wrapped = [escape(line).replace(" → ", "<br>→ ") for line in lines if line]
    return "<br>".join([f"<b>{escape(title)}</b>", *wrapped])


def short(value: float) -> str:
    """A count in three digits: ``22.7M``."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
