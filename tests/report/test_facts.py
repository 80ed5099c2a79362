from __future__ import annotations

from dataclasses import replace

import pytest

from autokd.core.result import StudyResult
from autokd.report.facts import arms, failures, spending, states, trial_rows


def test_states_are_counted_and_all_five_are_named(result: StudyResult) -> None:
    assert states(result.records) == {"complete": 8, "pruned": 1, "failed": 1, "paused": 0, "running": 0}


def test_rows_are_in_order_say_why_and_mark_the_front(result: StudyResult) -> None:
    shuffled = replace(result, records=tuple(reversed(result.records)))
    rows = trial_rows(shuffled)
    assert [row.record.number for row in rows] == list(range(10))
    assert [row.record.number for row in rows if row.on_front] == [3, 5]
    assert [rows[i].why for i in (2, 3, 8, 9)] == ["random", "search", "confirms 3, seed 1", "control fine-tune"]


def test_pipelines_show_what_differs_only(result: StudyResult) -> None:
    rows = trial_rows(result)
    assert rows[3].pipeline == "FineTuneTeacher → TruncateLayers keep=3 → Distil (Logits, AdamW lr=0.0003)"
    assert rows[5].pipeline == "FineTuneTeacher → TruncateLayers keep=2 → Distil (Logits, Mixup, AdamW lr=0.0003)"


def test_arms_keep_their_own_best_over_the_spent_budget(result: StudyResult) -> None:
    found = arms(result)
    assert [(s.number, s.score, s.best) for s in found["search"]] == [
        (0, 0.80, 0.80),
        (1, 0.76, 0.80),
        (3, 0.84, 0.84),
        (5, 0.79, 0.84),
    ]
    assert [(s.number, s.best) for s in found["random"]] == [(2, 0.66), (7, 0.78)]


def test_trials_are_ordered_by_when_they_were_told_not_by_their_number(result: StudyResult) -> None:
    late = replace(result.records[0], spent_at=500.0)
    found = arms(replace(result, records=(late, *result.records[1:])))
    assert [step.number for step in found["search"]] == [1, 3, 5, 0]


def test_spending_adds_up_to_what_the_study_spent(result: StudyResult) -> None:
    rows = dict(spending(result))
    assert rows["search"] == 120.0
    assert rows["random arm"] == 40.0
    assert sum(rows.values()) == pytest.approx(590.0)
    assert rows["shared stages"] == 300.0
    assert rows["probe and the rest"] == pytest.approx(590 - 300 - 10 * 20)


def test_deploying_is_a_part_of_the_spending(result: StudyResult) -> None:
    rows = dict(spending(replace(result, deploy_seconds=60.0)))
    assert rows["deploying and latencies"] == 60.0
    assert sum(rows.values()) == pytest.approx(590.0)


def test_failures_are_grouped_by_cause_the_commonest_first(result: StudyResult) -> None:
    failed = [replace(result.records[4], number=n, error=e) for n, e in ((1, "a"), (2, "b"), (3, "b"))]
    assert failures(failed) == [("b", [2, 3]), ("a", [1])]
    assert failures([replace(failed[0], error="")]) == [("no cause was recorded", [1])]
