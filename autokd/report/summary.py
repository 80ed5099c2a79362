"""A study as one JSON object: what ``--json`` prints, and what scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd.core.canonical import Json
from autokd.core.result import StudyResult
from autokd.report.about import amounts
from autokd.report.facts import states

_FINALIST = (
    "trial",
    "pipeline",
    "valid_score",
    "test_score",
    "test_low",
    "test_high",
    "params",
    "macs",
    "checkpoint",
)


def summary(result: StudyResult, report: str = "") -> dict[str, Json]:
    """The study's outcome. ``front`` holds confirmed finalists only; ``budget`` is the limit of which the largest
    share is used, in the unit that the user wrote; ``report`` is a path, empty where none was written."""
    tightest = max(amounts(result), key=lambda amount: amount.share)
    return {
        "study": result.settings.study,
        "dataset": result.settings.data.name,
        "space": result.settings.space_name,
        "teacher": None if result.teacher is None else result.teacher.to_json(),
        "states": states(result.records),
        "budget": {"limit": tightest.limit, "spent": tightest.spent, "unit": tightest.unit},
        "front": [_chosen(finalist.to_json(), _FINALIST) for finalist in result.front],
        "controls": [_chosen(control.to_json(), ("name", *_FINALIST)) for control in result.controls],
        "report": report,
    }


def _chosen(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Json]:
    return {name: values[name] for name in names}
