"""What goes to standard output: one JSON text, or plain tables that survive a pipe."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from autokd.core.canonical import Json
from autokd.core.result import StudyResult
from autokd.report.marks import short
from autokd.report.pipelines import number
from autokd.report.standing import Point, points


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
    heads = ["", f"test {result.settings.metric}", "95 % interval", "valid", "params", "MACs"]
    print_table(heads, [_front_row(point) for point in found])
    click.echo()
    for point in found:
        if point.kind == "finalist":
            click.echo(f"{_name(point)}: {point.pipeline}")


def seconds(value: float) -> str:
    """A span of time for people: ``41 s``, ``7.5 min``, ``3.2 h``."""
    if value < 100:
        return f"{value:.0f} s"
    return f"{number(value / 60)} min" if value < 3 * 3600 else f"{number(value / 3600)} h"


def _front_row(point: Point) -> list[str]:
    interval = "" if point.low is None or point.high is None else f"{point.low:.4f}-{point.high:.4f}"
    scores = [f"{point.test_score:.4f}", interval, f"{point.valid_score:.4f}"]
    return [_name(point), *scores, short(point.costs["params"]), short(point.costs["macs"])]


def _name(point: Point) -> str:
    return {"finalist": "trial", "control": "control", "teacher": "teacher"}[point.kind] + f" {point.label}"


def _padded(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
