"""The table under the frontier: teacher, finalists and controls with their scores and costs."""

from __future__ import annotations

from autokd.core.metric_file import metric_title
from autokd.core.result import StudyResult
from autokd.report.html import cell, number_cell, table, tag, text
from autokd.report.quantities import ms, short, size, times
from autokd.report.standing import Point, points


def standing_table(result: StudyResult) -> str:
    """Finalists, teacher and controls; latency, size and form are columns where they are known of anything."""
    found = points(result)
    if not found:
        return ""
    extra = tuple(name for name in ("latency", "size_bytes") if any(name in point.costs for point in found))
    forms = any(point.form not in ("", "float32") for point in found)
    heads = [
        ("", ""),
        (f"test {metric_title(result.settings.metric)}", "n"),
        ("95 % interval", "n"),
        ("validation", "n"),
        ("parameters", "n"),
        ("MACs", "n"),
        *([("latency", "n"), ("speedup", "n")] if "latency" in extra else []),
        *([("size", "n")] if "size_bytes" in extra else []),
        *([("form", "")] if forms else []),
    ]
    return table(heads, [_row(point, extra, forms) + _pipeline_row(point, len(heads)) for point in found])


def _pipeline_row(point: Point, n_columns: int) -> str:
    """Below a network's figures: what made it, and where it lies."""
    where = tag("div", text(point.checkpoint), class_="path") if point.checkpoint else ""
    told = text(point.pipeline) + where
    return tag("tr", tag("td", told, colspan=str(n_columns)), class_="below") if told else ""


def _row(point: Point, extra: tuple[str, ...], forms: bool) -> str:
    interval = "" if point.low is None or point.high is None else f"{point.low:.3f} – {point.high:.3f}"
    return tag(
        "tr",
        cell(tag("span", point.kind, class_=f"tag {point.kind}") + f" {text(point.label)}", kind="name"),
        number_cell(point.test_score, ".4f"),
        cell(text(interval), kind="n"),
        number_cell(point.valid_score, ".4f"),
        _params_cell(point),
        cell(text(short(point.costs["macs"])) + _share(point, "macs"), point.costs["macs"], "n"),
        *(_latency_cells(point) if "latency" in extra else ()),
        *([_size_cell(point)] if "size_bytes" in extra else ()),
        *([cell(text(point.form))] if forms else ()),
        **({"class_": "above"} if point.pipeline or point.checkpoint else {}),
    )


def _params_cell(point: Point) -> str:
    stored, active = point.costs["params"], point.active_params
    met = "" if active is None else _below(f"{short(active)} active")
    return cell(text(short(stored)) + _share(point, "params") + met, stored, "n")


def _latency_cells(point: Point) -> tuple[str, str]:
    """The median with the 90th percentile below it, and the speedup."""
    if "latency" not in point.costs:
        return cell("", kind="n"), cell("", kind="n")
    p90 = "" if point.latency_p90_ms is None else _below(f"p90 {ms(point.latency_p90_ms)}")
    median = cell(text(ms(point.costs["latency"])) + p90, point.costs["latency"], "n")
    return median, cell("" if point.speedup is None else text(times(point.speedup)), point.speedup, "n")


def _size_cell(point: Point) -> str:
    if "size_bytes" not in point.costs:
        return cell("", kind="n")
    return cell(text(size(point.costs["size_bytes"])) + _share(point, "size_bytes"), point.costs["size_bytes"], "n")


def _share(point: Point, cost: str) -> str:
    """The share of the teacher's cost, below the cost."""
    return _below(f"{point.share[cost]:.1%}") if cost in point.share and point.kind != "teacher" else ""


def _below(words: str) -> str:
    return tag("div", text(words), class_="path")
