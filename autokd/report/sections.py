"""The sections of a report, each from a study to HTML."""

from __future__ import annotations

import json
from collections.abc import Callable

from autokd.core.metric_file import metric_title
from autokd.core.result import StudyResult
from autokd.report import about, facts, standing
from autokd.report.figures import Figure
from autokd.report.html import cell, data_script, number_cell, pairs, table, tag, text
from autokd.report.pipelines import fixed, number
from autokd.report.quantities import short, size

_MOSTLY = 0.95  # every network has some zeros, pruned or not


def head(result: StudyResult) -> str:
    """The title, the study in five facts, what came out, and what to know."""
    settings = result.settings
    counts = facts.states(result.records)
    listed = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "none"
    line = {
        "data set": settings.task_name,
        "metric": metric_title(settings.metric),
        "teachers" if len(settings.teachers) > 1 else "teacher": ", ".join(settings.teachers),
        "budget": about.budget_line(result),
        "trials": listed,
    }
    items = (tag("li", f"{text(name)} ", tag("b", text(value))) for name, value in line.items())
    notes = "".join(tag("p", text(note), class_="note") for note in result.notes)
    return (
        tag("p", "autokd · report of a study", class_="eyebrow")
        + tag("h1", text(settings.study))
        + tag("ul", *items, class_="facts")
        + tag("div", *(tag("p", text(sentence)) for sentence in standing.verdict(result)), class_="verdict")
        + (tag("h3", "To know") + notes if notes else "")
    )


def chart(figure: Figure | None) -> str:
    """A chart with its title and caption, empty where there is no data for it."""
    if figure is None:
        return ""
    data = data_script(f"{figure.name}-data", {"data": list(figure.data), "layout": figure.layout})
    chart = tag("div", class_="chart", id=figure.name, style=f"height:{figure.layout['height']}px")
    return tag("h2", text(figure.title)) + tag("p", text(figure.caption), class_="caption") + chart + data


def trials(result: StudyResult) -> str:
    """The table of all trials, and what their pipelines share."""
    rows = facts.trial_rows(result)
    if not rows:
        return ""
    timed = any(row.value("latency_ms") is not None for row in rows)
    heads = [
        ("trial", "n"), ("state", ""), ("why", ""), ("validation", "n"), ("parameters", "n"), ("MACs", "n"),
        ("size", "n"), *([("latency ms", "n")] if timed else []), ("device s", "n"), ("alone", "n"), ("pipeline", ""),
    ]  # fmt: skip
    tools = (
        '<input type="search" id="filter" placeholder="filter: failed, lr=, Mixup …" aria-label="filter trials">'
        f'<span id="shown">{len(rows)} of {len(rows)} trials</span>'
    )
    caption = (
        "A click on a head sorts. Only what differs between trials is printed; the JSON is complete. "
        "Device seconds are what the trial cost the study, alone what it would cost without shared teachers."
    )
    made = table(heads, (_trial_row(row, timed) for row in rows), class_="sortable", id="trials")
    return (
        tag("h2", "Trials")
        + tag("p", caption, class_="caption")
        + tag("div", tools, class_="tools")
        + made
        + _common(result)
    )


def _trial_row(row: facts.TrialRow, timed: bool) -> str:
    record = row.record
    error = tag("div", text(record.error), class_="state failed") if record.error else ""
    whole = tag("details", tag("summary", "JSON"), tag("pre", text(json.dumps(record.pipeline, indent=1))))
    searched = f"{record.number} {record.state} {row.why} {row.pipeline} {record.error}".lower()
    return tag(
        "tr",
        cell(str(record.number), kind="n"),
        cell(text(record.state), kind=f"state {record.state}"),
        cell(text(row.why)),
        _valid_cell(row),
        _params_cell(row),
        _cell(row.value("macs"), short),
        _cell(row.value("size_bytes"), size),
        *([number_cell(row.value("latency_ms"), ".2f")] if timed else []),
        number_cell(record.device_seconds, ".1f"),
        number_cell(record.device_seconds_alone, ".1f"),
        cell(text(row.pipeline) + error + whole, kind="pipeline"),
        data_text=searched,
        **({"class_": "front"} if row.on_front else {}),
    )


def _cell(value: float | None, words: Callable[[float], str], below: str = "") -> str:
    """A right-aligned quantity in words that is sorted by its value, and a small line below it."""
    if value is None:
        return cell("", kind="n")
    return cell(text(words(value)) + (tag("div", text(below), class_="path") if below else ""), value, "n")


def _valid_cell(row: facts.TrialRow) -> str:
    """The score of what ships, and that of the float model below it where that is another."""
    float_score = row.value("float_valid_score")
    return _cell(row.value("valid_score"), "{:.4f}".format, "" if float_score is None else f"float {float_score:.4f}")


def _params_cell(row: facts.TrialRow) -> str:
    """The stored parameters; below them those that one token meets and those that are not zero, where fewer."""
    params = row.value("params") or 0.0
    fewer = [("active_params", "active", params), ("nonzero_params", "not zero", _MOSTLY * params)]
    found = [(row.value(name), words, bound) for name, words, bound in fewer]
    notes = [f"{short(value)} {words}" for value, words, bound in found if value is not None and value < bound]
    return _cell(row.value("params"), short, ", ".join(notes))


def _common(result: StudyResult) -> str:
    """What all pipelines share, once."""
    same = fixed([record.pipeline for record in result.records])
    lines = {
        use: ", ".join(f"{name}={number(v) if isinstance(v, float) else v}" for name, v in values.items())
        for use, values in same.items()
    }
    return tag("details", tag("summary", "What is the same in every pipeline"), pairs(lines)) if lines else ""


def failures(result: StudyResult) -> str:
    """Causes of failed trials."""
    found = facts.failures(result.records)
    if not found:
        return ""
    rows = (
        tag("tr", cell(text(cause)), cell(str(len(numbers)), kind="n"), cell(text(", ".join(map(str, numbers)))))
        for cause, numbers in found
    )
    return tag("h2", "What went wrong") + table([("cause", ""), ("times", "n"), ("trials", "")], rows)


def settings(result: StudyResult) -> str:
    """What was asked for, where it ran, and the space."""
    asked = tag("div", tag("h3", "Settings"), pairs(about.settings_table(result)))
    ran = tag("div", tag("h3", "Environment"), pairs(about.environment(result)))
    space = tag(
        "details",
        tag("summary", "The space, as it was frozen into the study"),
        tag("pre", text(result.settings.space_text)),
    )
    return tag("h2", "Settings and environment") + tag("div", asked, ran, class_="columns") + space


def commands(result: StudyResult) -> str:
    """The commands that repeat the study, or parts of it."""
    shown = "".join(
        tag("p", text(why), class_="note")
        + tag("div", tag("pre", text(command)), tag("button", "copy", type="button"), class_="command")
        for why, command in about.reproduce(result)
    )
    return tag("h2", "Do it again") + shown
