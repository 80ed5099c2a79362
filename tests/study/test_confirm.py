from __future__ import annotations

from dataclasses import replace

import pytest

from autokd.core.record import TrialRecord
from autokd.study.confirm import SCORING_SHARE, checks, controls, finalists, plan_cost
from autokd.study.plan import Plan
from autokd.testing.toy import toy_interval

BOTH = ("score", "macs")
PLAN = Plan((0, 1))


def run(number: int, role: str, confirms: int | None, replicate: int, name: str = "", **values: float) -> TrialRecord:
    score = {"valid_score": 0.8, "test_score": 0.7, "macs": 4.0, "params": 2.0, **values}
    return TrialRecord(
        number, "complete", role, {"n": number}, name=name, confirms=confirms, replicate=replicate,  # type: ignore[arg-type]
        values=score, checkpoint=f"/c/{number}",
    )  # fmt: skip


def table(*runs: TrialRecord) -> dict[int, TrialRecord]:
    first = [run(0, "search", None, 0), run(1, "search", None, 0, valid_score=0.7, macs=1.0)]
    return {record.number: record for record in (*first, *runs)}


def cost(finalist: TrialRecord, name: str) -> float:
    return 10.0


def test_one_seed_of_the_best_and_its_controls_come_first_then_seeds_then_others() -> None:
    found = checks(PLAN, table(), cost)
    assert [(c.finalist, c.name, c.replicate) for c in found] == [
        (0, "", 0), (0, "fine-tune", 0), (0, "logits", 0),
        (0, "", 1), (0, "fine-tune", 1), (0, "logits", 1),
        (0, "", 2), (0, "fine-tune", 2), (0, "logits", 2),
        (1, "", 0), (1, "", 1), (1, "", 2),
    ]  # fmt: skip
    assert [c.vital for c in found[:4]] == [True, True, True, False]
    assert found[0].cost == pytest.approx(10.0 * SCORING_SHARE)
    assert not found[-1].opened
    assert found[-1].group_cost == pytest.approx(20.0 + 10.0 * SCORING_SHARE)
    assert plan_cost([table()[0], table()[1]], cost) == pytest.approx(sum(c.cost for c in found))


def test_finished_running_and_failed_runs_are_not_repeated_lost_ones_are() -> None:
    states = {0: "complete", 1: "running", 2: "failed"}
    runs = [replace(run(10 + r, "confirm", 1, r), state=state) for r, state in states.items()]  # type: ignore[arg-type]
    assert [c for c in checks(Plan((0, 1)), table(*runs), cost) if c.finalist == 1] == []
    lost = replace(runs[2], error="worker died: SIGKILL")
    again = [c for c in checks(PLAN, table(*runs[:2], lost), cost) if c.finalist == 1]
    assert [(c.replicate, c.opened) for c in again] == [(2, True)]
    thrice = [replace(lost, number=20 + k) for k in range(3)]
    assert [c for c in checks(PLAN, table(*runs[:2], *thrice), cost) if c.finalist == 1] == []


def test_kills_of_the_driver_are_no_reason_to_give_a_run_up() -> None:
    killed = [replace(run(20 + k, "confirm", 1, 0), state="failed", error="killed: the driver") for k in range(5)]
    crashed = [replace(killed[0], number=30 + k, error="worker died: SIGKILL") for k in range(2)]
    found = checks(PLAN, table(*killed, *crashed), cost)
    assert [c.replicate for c in found if c.finalist == 1] == [0, 1, 2]


def test_a_paused_run_goes_on_under_its_number_and_costs_what_is_left() -> None:
    paused = replace(run(10, "control", 0, 0, "logits"), state="paused", device_seconds=4.0)
    found = next(c for c in checks(PLAN, table(paused), cost) if c.name == "logits" and c.replicate == 0)
    assert (found.continues, found.cost) == (10, 6.0)


def test_a_finalist_is_its_mean_over_seeds_and_ships_the_best_validated_seed() -> None:
    runs = [
        run(10, "confirm", 0, 0, valid_score=0.80, test_score=0.70),
        run(11, "confirm", 0, 1, valid_score=0.84, test_score=0.66),
        run(12, "confirm", 0, 2, valid_score=0.79, test_score=0.74),
    ]
    (found,) = finalists(Plan((0,)), table(*runs), BOTH, toy_interval)
    assert found.checkpoint == "/c/11"
    assert (found.trial, found.n_seeds) == (0, 3)
    assert found.valid_score == pytest.approx(0.81)
    assert (found.test_score, found.test_low, found.test_high) == pytest.approx((0.70, 0.66, 0.74))


def test_a_finalist_that_another_ones_mean_dominates_is_no_frontier() -> None:
    better = [run(10, "confirm", 1, 0, valid_score=0.9, macs=1.0), run(11, "confirm", 0, 0, valid_score=0.8, macs=4.0)]
    assert [f.trial for f in finalists(PLAN, table(*better), BOTH, toy_interval)] == [1]


def test_controls_are_those_of_the_first_finalist_and_missing_ones_are_left_out() -> None:
    runs = [run(10, "control", 0, 0, "logits"), run(11, "control", 1, 0, "fine-tune")]
    found = controls(PLAN, table(*runs), toy_interval)
    assert [(c.name, c.trial, c.n_seeds) for c in found] == [("logits", 10, 1)]
