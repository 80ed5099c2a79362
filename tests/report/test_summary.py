from __future__ import annotations

import json
from dataclasses import replace

from autokd.core.result import StudyResult
from autokd.report.summary import summary

FINALIST = {
    "trial", "pipeline", "valid_score", "test_score", "test_low", "test_high", "params", "macs", "checkpoint",
}  # fmt: skip


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


def test_the_budget_is_the_limit_that_is_used_up_most(result: StudyResult) -> None:
    both = replace(result, settings=replace(result.settings, budget="1cpu-h,6min"))
    assert summary(both)["budget"] == {"limit": 6.0, "spent": 5.0, "unit": "min"}
