"""From a study to one HTML file that needs nothing else: styles, scripts and plotly.js are inside, once.

Its content security policy forbids every request, so a report reads the same on a machine without a network.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from autokd.core.disk import naming
from autokd.core.result import StudyResult
from autokd.report import deployment, sections
from autokd.report.figures import figures
from autokd.report.html import tag, text
from autokd.report.standing_table import standing_table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def default_path(study: str) -> Path:
    """Where a study's report goes where no path was given: ``reports/STUDY.html``, below the working folder."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in study)
    return Path("reports") / f"{plain}.html"


def write(result: StudyResult, output: Path) -> Path:
    """Write the report and return its absolute path. The file appears whole or not at all."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with naming(output):
            partial.write_text(render(result), encoding="utf-8")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return output


def render(result: StudyResult) -> str:
    """The whole page."""
    drawn = {figure.name: figure for figure in figures(result)}
    parts = [
        sections.head(result),
        sections.chart(drawn.get("frontier")),
        standing_table(result),
        deployment.section(result),
        sections.chart(drawn.get("runtimes")),
        *(sections.chart(drawn.get(name)) for name in ("tried", "progress", "importance", "cost")),
        sections.trials(result),
        sections.failures(result),
        sections.settings(result),
        sections.commands(result),
        tag("footer", "Written by autokd. Scores are fractions; MACs are multiply-accumulates, embeddings apart."),
    ]
    style = tag("style", _part("page.css"))
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        + tag("title", text(f"{result.settings.study} · autokd"))
        + style
    )
    scripts = (tag("script", _plotly()) if drawn else "<script>var Plotly;</script>") + tag("script", _part("page.js"))
    body = tag("body", tag("main", *parts), scripts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'


def _part(name: str) -> str:
    return files("autokd.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    return files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
