"""What goes to standard output: one JSON text, or plain tables that survive a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import click

from autokd.core.canonical import Json
from autokd.core.latency import LatencySpec
from autokd.core.metric_file import metric_title
from autokd.core.result import StudyResult
from autokd.core.settings import StudySettings
from autokd.report.deployment import timed_on
from autokd.report.marks import short
from autokd.report.pipelines import number
from autokd.report.quantities import ms, size, times
from autokd.report.standing import Point, fastest_form, points

# The columns of costs, each with how it is shown; empty: it was not measured.
_COSTS: Mapping[str, Callable[[Point], str]] = {
    "params": lambda point: short(point.costs["params"]),
    "active": lambda point: "" if point.active_params is None else short(point.active_params),
    "MACs": lambda point: short(point.costs["macs"]),
    "latency": lambda point: ms(point.costs["latency"]) if "latency" in point.costs else "",
    "speedup": lambda point: times(point.speedup) if point.speedup is not None else "",
    "size": lambda point: size(point.costs["size_bytes"]) if "size_bytes" in point.costs else "",
}


def print_json(value: Json) -> None:
    """One value on one line. NaN and infinities are refused: they are not JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """A message, to standard error."""
    click.echo(text, err=True)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need, the last one ragged; numbers stand on the right."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads) - 1)] + [0]
    for row in [heads, *rows]:
        click.echo("  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_front(result: StudyResult) -> None:
    """The confirmed frontier, the teacher and the controls; below them the students' pipelines."""
    found = points(result)
    columns = {name: shown for name, shown in _COSTS.items() if any(shown(point) for point in found)}
    heads = ["", f"test {metric_title(result.settings.metric)}", "95 % interval", "valid", *columns]
    print_table(heads, [[*_scores(point), *(shown(point) for shown in columns.values())] for point in found])
    if "latency" in columns:
        machine = timed_on(result)
        click.echo(f"\nlatency: median of {_latency_of(result.settings)}" + (f" on {machine}" if machine else ""))
    click.echo()
    for point in found:
        if point.kind == "finalist":
            click.echo(f"{_name(point)}: {point.pipeline}")
    for finalist in result.front:
        fastest = fastest_form(finalist)
        if fastest is not None:
            told = f"{ms(fastest.latency_ms)}, test {fastest.test_score:.4f}, {size(fastest.size_bytes)}"
            click.echo(f"trial {finalist.trial} is fastest in {fastest.runtime}: {told}")


def seconds(value: float) -> str:
    """A span of time for people: ``0.4 s``, ``41 s``, ``7.5 min``, ``3.2 h``."""
    if 0 < value < 9.95:
        return f"{value:.1f} s"
    if value < 100:
        return f"{value:.0f} s"
    return f"{number(value / 60)} min" if value < 3 * 3600 else f"{number(value / 3600)} h"


def counted(n: int, word: str) -> str:
    """A number of things: ``1 trial``, ``1,200 trials``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _scores(point: Point) -> list[str]:
    interval = "" if point.low is None or point.high is None else f"{point.low:.4f}-{point.high:.4f}"
    return [_name(point), f"{point.test_score:.4f}", interval, f"{point.valid_score:.4f}"]


def _latency_of(settings: StudySettings) -> str:
    unit = "the whole graph" if settings.kind == "graph" else f"{settings.latency_length} tokens"
    return f"{LatencySpec.parse(settings.latency).text} ({unit})"


def _name(point: Point) -> str:
    return {"finalist": "trial", "control": "control", "teacher": "teacher"}[point.kind] + f" {point.label}"


def _padded(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
