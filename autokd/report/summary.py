"""A study as one JSON object: what ``--json`` prints, and what scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd.core.canonical import Json
from autokd.core.record import Finalist
from autokd.core.result import StudyResult
from autokd.report.about import amounts
from autokd.report.facts import states
from autokd.report.standing import active_params

_FINALIST = (
    "trial",
    "pipeline",
    "valid_score",
    "test_score",
    "test_low",
    "test_high",
    "params",
    "active_params",
    "macs",
    "checkpoint",
    "form",
    "size_bytes",
    "latency_ms",
    "latency_p90_ms",
    "teacher_latency_ms",
    "speedup",
    "timed_on",
    "fastest",
    "forms",
)


def summary(result: StudyResult, report: str = "") -> dict[str, Json]:
    """The study's outcome. ``front`` holds confirmed finalists only; ``budget`` is the limit of which the largest
    share is used, in the unit that the user wrote; ``report`` is a path, empty where none was written.

    What is not known of a network is left out (latencies of what was not deployed), and so are ``active_params`` where
    they are all parameters. There is no null but for a teacher that is not there yet.
    """
    tightest = max(amounts(result), key=lambda amount: amount.share)
    return {
        "study": result.settings.study,
        "dataset": result.settings.data.name,
        "space": result.settings.space_name,
        "teacher": None if result.teacher is None else _known(result.teacher.to_json()),
        "states": states(result.records),
        "budget": {"limit": tightest.limit, "spent": tightest.spent, "unit": tightest.unit},
        "front": [_told(result, finalist, _FINALIST) for finalist in result.front],
        "controls": [_told(result, control, ("name", *_FINALIST)) for control in result.controls],
        "report": report,
    }


def _told(result: StudyResult, finalist: Finalist, names: tuple[str, ...]) -> dict[str, Json]:
    values = {**finalist.to_json(), "active_params": active_params(result, finalist)}
    # A size of 0 and empty names of a runtime and a machine are those of studies from before there were any.
    values |= {name: values[name] or None for name in ("size_bytes", "fastest", "timed_on")}
    return _known({name: values[name] for name in names})


def _known(values: Mapping[str, Any]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}
