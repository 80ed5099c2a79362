from __future__ import annotations

import pytest

from autokd.core.record import TrialRecord
from autokd.study.frontier import frontier, ranked, volume

BOTH = ("score", "macs")


def trial(number: int, score: float, macs: float, **changes: object) -> TrialRecord:
    values = {"valid_score": score, "macs": macs, "params": macs / 1e3}
    given = {"number": number, "state": "complete", "role": "search", "pipeline": {}, "values": values}
    return TrialRecord(**{**given, **changes})  # type: ignore[arg-type]


def test_the_frontier_holds_what_nothing_dominates_best_score_first() -> None:
    records = [trial(0, 0.7, 2e9), trial(1, 0.8, 4e9), trial(2, 0.75, 5e9), trial(3, 0.6, 1e9)]
    assert [r.number for r in frontier(records, BOTH)] == [1, 0, 3]


def test_of_equal_trials_the_first_stays() -> None:
    assert [r.number for r in frontier([trial(4, 0.7, 1e9), trial(2, 0.7, 1e9)], BOTH)] == [2]


def test_only_complete_feasible_search_trials_count() -> None:
    records = [
        trial(0, 0.9, 1e9, role="control"),
        trial(1, 0.9, 1e9, role="confirm"),
        trial(2, 0.9, 1e9, state="failed"),
        trial(3, 0.9, 1e9, constraints={"params<=1": 5.0}),
        trial(4, 0.5, 1e9, role="random"),
    ]
    assert [r.number for r in frontier(records, BOTH)] == [4]


def test_a_single_objective_has_one_best() -> None:
    assert [r.number for r in frontier([trial(0, 0.7, 1.0), trial(1, 0.8, 9.0)], ("score",))] == [1]


def test_the_best_score_is_confirmed_first_then_what_adds_most() -> None:
    # The cheapest model is the worst on the frontier: it dominates nothing that the others do not.
    front = [trial(0, 0.80, 8e9), trial(1, 0.79, 2e9), trial(2, 0.5, 1e9)]
    assert [r.number for r in ranked(front, BOTH, 8)] == [0, 1, 2]
    assert [r.number for r in ranked(front, BOTH, 2)] == [0, 1]
    assert ranked([], BOTH, 8) == ()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], 0.0),
        ([(0.25,), (0.5,)], 0.75),
        ([(0.0, 0.5), (0.5, 0.0)], 0.75),
        ([(0.0, 0.0, 0.5), (0.5, 0.5, 0.0)], 0.5 + 0.25 * 0.5),
    ],
)
def test_dominated_volume(points: list[tuple[float, ...]], expected: float) -> None:
    assert volume(points) == pytest.approx(expected)
