"""Axes of charts, above all those of costs: logarithmic, with round marks in the cost's unit, changed by buttons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from autokd.core.canonical import Json
from autokd.report.quantities import short, size

COST_NAMES = {
    "macs": "multiply-accumulates per example",
    "params": "parameters",
    "latency": "latency (median, ms)",
    "size_bytes": "size on disk",
}
_BUTTONS = {"macs": "MACs", "params": "parameters", "latency": "latency", "size_bytes": "size"}
_LABELS: Mapping[str, Callable[[float], str]] = {
    "macs": short,
    "params": short,
    "latency": "{:g}".format,
    "size_bytes": size,
}


def axes(x: str, y: str) -> dict[str, Any]:
    """The layout of a scatter chart with linear axes."""
    return {
        "xaxis": {"title": {"text": x}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": escape(y)}},
        "height": 440,
        "hovermode": "closest",
    }


def cost_layout(cost: str, y: str, traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layout of a scatter chart of these traces over a cost."""
    return {**axes("", y), "xaxis": cost_axis(cost, traces)}


def cost_axis(cost: str, traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A logarithmic axis for a cost, with marks at round values that people can read."""
    costs = [x for trace in traces for x in trace["x"] if x]
    axis: dict[str, Any] = {"title": {"text": COST_NAMES[cost]}, "type": "log"}
    if not costs:
        return axis
    room = max(1.2, (max(costs) / min(costs)) ** 0.08)
    low, high = min(costs) / room, max(costs) * room
    values = marks_between(low, high)
    return axis | {
        "range": [math.log10(low), math.log10(high)],
        "tickmode": "array",
        "tickvals": values,
        "ticktext": [_LABELS[cost](value) for value in values],
    }


def marks_between(low: float, high: float) -> list[float]:
    """About eight round values from ``low`` (above 0) to ``high``, for an axis whose scale is logarithmic."""
    if high > 4 * low:
        decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        digits = (1, 1.5, 2, 3, 4, 5, 7) if high < 30 * low else (1, 2, 5) if len(decades) < 5 else (1,)
        values = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
    else:
        step = next(s for s in _steps(high) if (high - low) / s < 8)
        values = [float(f"{k * step:.6g}") for k in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [value for value in values if low <= value <= high]


def _steps(high: float) -> Iterator[float]:
    """Round widths, from much too narrow up."""
    for decade in range(math.floor(math.log10(high)) - 3, math.floor(math.log10(high)) + 2):
        for digit in (1, 2, 5):
            yield float(f"{digit}e{decade}")


def bars(x: str, n_bars: int) -> dict[str, Any]:
    """The layout of a chart of horizontal bars, as high as they need."""
    return {
        "xaxis": {"title": {"text": x}, "rangemode": "tozero"},
        "yaxis": {"automargin": True, "ticksuffix": "  "},
        "height": 130 + 24 * n_bars,
        "bargap": 0.3,
    }


def cost_menu(traces: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Json]:
    """Buttons that change the cost on the horizontal axis; ``traces`` are the chart's, drawn over each cost."""
    buttons = [
        {"label": _BUTTONS[cost], "method": "update", "args": [_moved(drawn), _flat(cost_axis(cost, drawn))]}
        for cost, drawn in traces.items()
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


def _moved(drawn: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """What changes of traces with the cost that they are drawn over: positions, and with the order all else."""
    changes: dict[str, Json] = {name: [trace[name] for trace in drawn] for name in ("x", "y", "text")}
    if any("error_y" in trace for trace in drawn):
        for name in ("array", "arrayminus"):
            changes[f"error_y.{name}"] = [trace.get("error_y", {}).get(name, []) for trace in drawn]
    return changes


def _flat(axis: Mapping[str, Any]) -> dict[str, Json]:
    """A change of the horizontal axis, as plotly.js takes it."""
    plain = {f"xaxis.{name}": value for name, value in axis.items() if name != "title"}
    return {**plain, "xaxis.title.text": axis["title"]["text"]}
