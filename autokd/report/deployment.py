"""What is deployed of each finalist: every runtime of the checkpoint that ships, its scores, its speed and its size."""

from __future__ import annotations

from dataclasses import dataclass

from autokd.core.latency import LatencySpec
from autokd.core.metric_file import metric_title
from autokd.core.record import Finalist, Form
from autokd.core.result import StudyResult
from autokd.report.html import cell, table, tag, text
from autokd.report.quantities import ms, size, times

_RUNTIMES = {
    "onnx": "onnxruntime, float32",
    "onnx-int8": "onnxruntime, int8",
    "torch": "torch, float32",
    "torch-bf16": "torch, bfloat16",
}
_FLOAT = "torch"  # the runtime of the float checkpoint, which the others are compared with


@dataclass(frozen=True)
class Deployed:
    """One runtime of a finalist. Differences are to the float checkpoint's scores, None for itself; ``speedup`` is the
    teacher's latency over this one's, None where the teacher was not timed."""

    form: Form
    valid_difference: float | None
    test_difference: float | None
    speedup: float | None
    fastest: bool


def deployed(finalist: Finalist) -> list[Deployed]:
    """The runtimes of a finalist, the fastest first."""
    plain = next((form for form in finalist.forms if form.runtime == _FLOAT), None)
    teacher = finalist.teacher_latency_ms
    return [
        Deployed(
            form,
            None if plain is None or form is plain else form.valid_score - plain.valid_score,
            None if plain is None or form is plain else form.test_score - plain.test_score,
            None if teacher is None else teacher / form.latency_ms,
            form.runtime == finalist.fastest,
        )
        for form in sorted(finalist.forms, key=lambda form: form.latency_ms)
    ]


def timed_on(result: StudyResult) -> str:
    """The machine of all latencies of a result, empty where nothing was timed or it is not known."""
    return next((finalist.timed_on for finalist in result.front if finalist.latency_ms is not None), "")


def measured_how(result: StudyResult) -> str:
    """How latencies were measured, and on which machine, in a few sentences."""
    machine = timed_on(result)
    spec, tokens = LatencySpec.parse(result.settings.latency), result.settings.latency_length
    texts = "one text" if spec.batch == 1 else f"{spec.batch} texts"
    length = f"{tokens} tokens" if tokens else "its length"
    which = "" if isinstance(spec.length, int) or not tokens else f" ({_LENGTHS[spec.length]})"
    threads = "one CPU thread" if spec.threads == 1 else f"{spec.threads} CPU threads"
    if result.settings.kind == "graph":
        return (
            f"A call is a pass of torch over the whole graph on {threads}; networks that read no neighbours pass over "
            f"the {spec.batch} asked for. Students and teacher were called in turns, nothing else running."
        )
    return (
        f"A call is {texts} of {length}{which} on {threads}; the teacher runs in {_RUNTIMES[spec.runtime]}. "
        "Each student's runtimes and the teacher were called in turns, after a warm-up and with nothing else of the "
        "study running; tokenisation is not part of a call." + (f" The machine: {machine}." if machine else "")
    )


_LENGTHS = {
    "p50": "the median of the training texts",
    "p95": "95 % of the training texts are no longer",
    "max": "the longest of the training texts",
}


def section(result: StudyResult) -> str:
    """The runtimes of each finalist; empty where nothing was deployed."""
    shown = [finalist for finalist in result.front if finalist.forms]
    if not shown:
        return ""
    caption = (
        "Every checkpoint was loaded again in each runtime, scored and timed. Scores are those of the one seed that "
        "ships, with the difference to the float checkpoint in torch; speedups are over the teacher. "
    )
    return (
        tag("h2", "Deployment")
        + tag("p", text(caption + measured_how(result)), class_="caption")
        + "".join(_finalist(result, finalist) for finalist in shown)
    )


def _finalist(result: StudyResult, finalist: Finalist) -> str:
    ships = "" if finalist.form == "float32" else f", searched in the form {finalist.form}"
    beside = "" if finalist.teacher_latency_ms is None else f"; the teacher took {ms(finalist.teacher_latency_ms)}"
    heads = [
        ("runtime", ""), ("validation", "n"), (f"test {metric_title(result.settings.metric)}", "n"), ("median", "n"),
        ("90 % within", "n"), ("speedup", "n"), ("size", "n"), ("folder", ""),
    ]  # fmt: skip
    title = f"Trial {finalist.trial}{ships}{beside}"
    return tag("h3", text(title)) + table(heads, [_row(each) for each in deployed(finalist)])


def _row(each: Deployed) -> str:
    form = each.form
    fastest = " " + tag("span", "fastest", class_="tag finalist") if each.fastest else ""
    return tag(
        "tr",
        cell(tag("b", text(form.runtime)) + fastest, kind="name"),
        _score_cell(form.valid_score, each.valid_difference),
        _score_cell(form.test_score, each.test_difference),
        cell(text(ms(form.latency_ms)), kind="n"),
        cell(text(ms(form.latency_p90_ms)), kind="n"),
        cell("" if each.speedup is None else text(times(each.speedup)), kind="n"),
        cell(text(size(form.size_bytes)), kind="n"),
        cell(tag("div", text(form.folder), class_="path")),
    )


def _score_cell(score: float, difference: float | None) -> str:
    below = "" if difference is None else tag("div", text(f"{difference:+.4f}"), class_="path")
    return cell(text(f"{score:.4f}") + below, score, "n")
