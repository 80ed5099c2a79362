"""The pieces that figures are made of: traces, lines, labels, as the plain JSON that plotly.js reads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from autokd.core.canonical import Json
from autokd.core.record import Form
from autokd.report.about import Amount
from autokd.report.facts import Step
from autokd.report.quantities import ms, size, times
from autokd.report.quantities import short as short
from autokd.report.standing import Point, by_cost

_RUNTIMES = {
    "onnx": ("circle", "#2f6fed"),
    "onnx-int8": ("star", "#1a9e77"),
    "torch": ("square", "#e8710a"),
    "torch-bf16": ("triangle-up", "#c2407a"),
}
COLORS = {
    "finalist": "#2f6fed",
    "teacher": "#8b5cf6",
    "control": "#e8710a",
    "search": "#2f6fed",
    "random": "#9aa3ad",
    "enqueued": "#1a9e77",
    "bar": "#2f6fed",
}


def points_trace(kind: str, group: Sequence[Point], cost: str) -> dict[str, Json]:
    """Networks with test scores, by a rising cost: error bars are their intervals."""
    symbol = {"finalist": "circle", "teacher": "diamond", "control": "square"}[kind]
    names = {"finalist": "confirmed students", "teacher": "teacher", "control": "controls"}
    group = by_cost(list(group), cost)
    trace: dict[str, Json] = {
        "type": "scatter",
        "mode": "lines+markers" if kind == "finalist" else "markers",
        "name": names[kind],
        "legendrank": list(names).index(kind),
        "x": [point.costs.get(cost) for point in group],
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
    active = "" if point.active_params is None else f" ({short(point.active_params)} active)"
    lines.append(f"{short(point.costs['params'])} parameters{active}, {short(point.costs['macs'])} MACs")
    deployed = [ms(point.costs["latency"])] if "latency" in point.costs else []
    deployed += [f"{times(point.speedup)} the teacher's speed"] if point.speedup is not None else []
    deployed += [size(point.costs["size_bytes"])] if "size_bytes" in point.costs else []
    return hover(name, *lines, ", ".join(deployed), point.pipeline)


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


def runtime_trace(runtime: str, group: Sequence[tuple[str, Form, str]]) -> dict[str, Json]:
    """Deployed students in one runtime, each with its trial's number and what to say of it."""
    symbol, color = _RUNTIMES[runtime]
    labels = [hover(f"trial {trial}, {runtime}", told) for trial, _, told in group]
    xs, ys = [form.latency_ms for _, form, _ in group], [form.test_score for _, form, _ in group]
    return markers(runtime, xs, ys, labels, color) | {
        "mode": "markers+text",
        "text": [trial for trial, _, _ in group],
        "textposition": "top center",
        "hovertext": labels,
        "hovertemplate": "%{hovertext}<br>%{y:.4f}<extra></extra>",
        "marker": {"size": 12, "color": color, "symbol": symbol},
    }


def level(y: float) -> dict[str, Json]:
    """A horizontal dashed line at a score, the teacher's."""
    line = {"color": COLORS["teacher"], "dash": "dash", "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def hover(title: str, *lines: str) -> str:
    """Text for a mark's label, escaped (plotly.js reads some HTML), long lines wrapped at arrows."""
    wrapped = [escape(line).replace(" → ", "<br>→ ") for line in lines if line]
    return "<br>".join([f"<b>{escape(title)}</b>", *wrapped])
