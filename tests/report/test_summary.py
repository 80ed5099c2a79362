from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from autokd.core.result import StudyResult
from autokd.report.summary import summary

FINALIST = {
    "trial", "pipeline", "valid_score", "test_score", "test_low", "test_high", "params", "macs", "checkpoint",
    "form", "forms",
}  # fmt: skip
DEPLOYED = {"size_bytes", "latency_ms", "latency_p90_ms", "teacher_latency_ms", "speedup", "fastest", "timed_on"}


def test_the_summary_has_exactly_the_promised_keys(result: StudyResult) -> None:
    found = json.loads(json.dumps(summary(result, "/r.html"), allow_nan=False))
    assert set(found) == {
        "study", "dataset", "space", "teacher", "states", "budget", "front", "controls", "report",
    }  # fmt: skip
    assert set(found["teacher"]) == {"name", "valid_score", "test_score", "params", "macs"}
    assert set(found["budget"]) == {"limit", "spent", "unit"}
    assert all(set(each) == FINALIST for each in found["front"])
    assert all(set(each) == FINALIST | {"name"} for each in found["controls"])
    assert found["report"] == "/r.html"


def test_what_was_deployed_is_told_with_its_runtimes(deployed_result: StudyResult) -> None:
    found = json.loads(json.dumps(summary(deployed_result), allow_nan=False))
    first, second = found["front"]
    assert set(first) == FINALIST | DEPLOYED
    assert (first["latency_ms"], first["speedup"], first["fastest"]) == (2.0, 4.0, "onnx-int8")
    assert [form["runtime"] for form in first["forms"]] == ["onnx", "onnx-int8", "torch", "torch-bf16"]
    assert (second["form"], second["active_params"]) == ("onnx-int8", 9e6)
    assert found["teacher"]["latency_ms"] == 8.0
    assert all(control["speedup"] == 4.0 and control["forms"] == [] for control in found["controls"])


def test_what_is_not_known_is_left_out_not_null(result: StudyResult, deployed_result: StudyResult) -> None:
    half = replace(deployed_result.front[0], latency_p90_ms=None, fastest="")
    for study in (result, deployed_result, replace(deployed_result, front=(half,))):
        found = summary(study)
        assert None not in _leaves([found["front"], found["controls"], found["teacher"]])
    assert DEPLOYED - set(summary(replace(deployed_result, front=(half,)))["front"][0]) == {"latency_p90_ms", "fastest"}


def test_the_budget_is_the_limit_that_is_used_up_most(result: StudyResult) -> None:
    both = replace(result, settings=replace(result.settings, budget="1cpu-h,6min"))
    assert summary(both)["budget"] == {"limit": 6.0, "spent": 5.0, "unit": "min"}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value
