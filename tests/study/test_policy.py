"""What the policy decides, in plain numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autokd.study.policy import (
    Check,
    Confirm,
    Deploy,
    Finish,
    Measure,
    Purse,
    Run,
    Situation,
    Try,
    Wait,
    deadline_seconds,
    decide,
    must_stop,
    n_seeds,
    reserve,
)


def situation(**changes: object) -> Situation:
    given = {"purse": Purse(1000.0, 100.0), "running": 0, "tried": 5, "typical": 20.0, "plan_cost": 250.0}
    return Situation(**{**given, **changes})  # type: ignore[arg-type]


def check(cost: float, *, opened: bool = True, vital: bool = False) -> Check:
    return Check(3, "", 1, cost, 3 * cost, opened, vital)


@pytest.mark.parametrize(("plan", "kept"), [(10.0, 200.0), (250.0, 250.0), (900.0, 400.0)])
def test_between_a_fifth_and_two_fifths_are_kept_for_confirming(plan: float, kept: float) -> None:
    assert reserve(1000.0, plan) == kept


def test_nothing_is_kept_where_only_trials_are_limited() -> None:
    assert reserve(math.inf, 250.0) == 0.0


def test_search_goes_on_while_its_share_holds_a_trial() -> None:
    assert decide(situation()) == Try(most=650.0, cap=650.0, whole=900.0)


def test_what_is_in_flight_is_not_spent_twice() -> None:
    assert decide(situation(purse=Purse(1000.0, 100.0, 600.0), running=2)) == Try(most=50.0, cap=650.0, whole=300.0)
    assert decide(situation(purse=Purse(1000.0, 100.0, 645.0), running=2)) == Wait()


def test_search_ends_when_its_share_holds_no_further_trial() -> None:
    assert decide(situation(purse=Purse(1000.0, 742.0))) == Confirm()


def test_search_ends_when_no_proposal_is_left_but_waits_for_those_running() -> None:
    assert decide(situation(closed=True, running=1)) == Wait()
    assert decide(situation(closed=True)) == Confirm()


def test_search_ends_at_a_limit_on_trials() -> None:
    assert isinstance(decide(situation(purse=Purse(math.inf, 100.0, trials_left=1))), Try)
    assert decide(situation(purse=Purse(math.inf, 100.0, trials_left=0))) == Confirm()


def test_the_first_trial_may_take_what_the_rest_of_the_budget_holds() -> None:
    assert decide(situation(tried=0, typical=0.0, plan_cost=0.0)) == Try(
        most=700.0, cap=700.0, whole=900.0, needed=True
    )


def test_a_confirming_run_starts_only_where_it_fits() -> None:
    small, large = check(50.0), check(80.0)
    purse = Purse(1000.0, 900.0, committed=30.0)
    assert decide(situation(confirming=True, purse=purse, checks=(large, small), running=1)) == Run(
        small, cap=pytest.approx(130.0)
    )
    assert decide(situation(confirming=True, purse=purse, checks=(large,), running=1, closed=True)) == Wait()


def test_a_finalist_is_opened_only_where_all_its_seeds_fit() -> None:
    purse = Purse(1000.0, 900.0)
    fresh = check(50.0, opened=False)
    assert decide(situation(confirming=True, purse=purse, checks=(fresh,), running=1, closed=True)) == Wait()


def test_a_vital_run_starts_as_long_as_anything_is_left() -> None:
    vital = check(50.0, vital=True)
    assert decide(situation(confirming=True, purse=Purse(1000.0, 999.0), checks=(vital,))) == Run(
        vital, cap=pytest.approx(31.0)
    )
    assert decide(situation(confirming=True, purse=Purse(1000.0, 1001.0), checks=(vital,))) == Finish()


def test_slack_of_the_confirming_phase_goes_to_more_trials() -> None:
    assert decide(situation(confirming=True)) == Try(most=900.0, cap=900.0)


def test_a_remainder_worth_having_is_spent_on_one_last_job() -> None:
    dear = check(500.0)
    now = situation(confirming=True, purse=Purse(1000.0, 900.0), typical=200.0)
    assert decide(now) == Try(most=math.inf, cap=100.0)
    assert decide(situation(confirming=True, purse=Purse(1000.0, 900.0), checks=(dear,), closed=True)) == Run(
        dear, pytest.approx(130.0)
    )
    assert decide(situation(confirming=True, purse=Purse(1000.0, 950.0), typical=200.0)) == Finish()


def test_where_only_trials_are_limited_a_finalist_gets_all_its_seeds() -> None:
    dear, other = check(500.0), check(500.0, opened=False)
    purse = Purse(1000.0, 1100.0, trials_left=0)
    assert decide(situation(confirming=True, fill=False, purse=purse, checks=(dear,))) == Run(
        dear, cap=pytest.approx(-70.0)
    )
    assert decide(situation(confirming=True, fill=False, purse=purse, checks=(other,))) == Finish()


def test_a_limit_on_trials_is_not_filled_up() -> None:
    assert decide(situation(confirming=True, fill=False, purse=Purse(1000.0, 100.0, trials_left=0))) == Finish()


def test_deadlines_bound_surprises_and_never_pass_the_cap() -> None:
    assert deadline_seconds(100.0, 1000.0, 1.0, runaway=True) == 300.0
    assert deadline_seconds(1.0, 1000.0, 0.5, runaway=True) == 60.0
    assert deadline_seconds(100.0, 150.0, 2.0, runaway=True) == 75.0
    assert deadline_seconds(100.0, 1000.0, 2.0, runaway=False) == 500.0
    assert deadline_seconds(100.0, -5.0, 1.0, runaway=False) == 0.0


def test_jobs_stop_when_the_budget_is_spent_but_may_finish_what_is_almost_done() -> None:
    assert not must_stop(Purse(1000.0, 999.0), 500.0)
    assert must_stop(Purse(1000.0, 1000.0), 500.0)
    assert not must_stop(Purse(1000.0, 1000.0), 10.0)
    assert must_stop(Purse(1000.0, 1031.0), 10.0)
    assert not must_stop(Purse(math.inf, 1e9), 500.0)


@pytest.mark.parametrize(("free", "seeds"), [(80.0, 3), (79.0, 2), (50.0, 2), (49.0, 1), (0.0, 1)])
def test_fewer_seeds_only_where_three_do_not_fit(free: float, seeds: int) -> None:
    # two further seeds of a finalist at 10 each, three of each control at 10 each: 80 in all
    assert n_seeds(free, 10.0, 10.0) == seeds


@pytest.mark.parametrize(("free", "seeds"), [(50.0, 3), (49.0, 2), (20.0, 2), (19.0, 1)])
def test_seeds_that_are_done_cost_nothing(free: float, seeds: int) -> None:
    done = {("", 0), ("", 1), ("fine-tune", 0), ("logits", 0)}
    assert n_seeds(free, 10.0, 10.0, done=done) == seeds


def test_a_trial_that_waits_for_a_latency_drains_the_workers_and_is_then_measured() -> None:
    assert decide(situation(unmeasured=True, running=2)) == Wait()
    assert decide(situation(unmeasured=True)) == Measure(cap=pytest.approx(930.0))
    assert isinstance(decide(situation(unmeasured=True, confirming=True, checks=(check(1.0),))), Measure)


def test_a_latency_that_the_budget_does_not_hold_is_not_measured() -> None:
    waiting = {"unmeasured": True, "measure_cost": 40.0, "confirming": True, "closed": True}
    assert decide(situation(**waiting, purse=Purse(1000.0, 990.0))) == Measure(cap=pytest.approx(40.0))
    assert decide(situation(**waiting, purse=Purse(1000.0, 991.0))) == Finish()
    assert decide(situation(**waiting, purse=Purse(1000.0, 991.0), fill=False)) == Measure(cap=math.inf)


def test_the_least_result_is_kept_from_trials_even_beyond_two_fifths() -> None:
    now = situation(plan_cost=900.0, vital_cost=550.0, deploy_each=50.0)
    assert decide(now) == Try(most=350.0, cap=350.0, whole=850.0)
    assert decide(replace(now, purse=Purse(1000.0, 440.0))) == Confirm()


def test_a_trial_starts_only_where_its_own_controls_and_a_deployment_would_fit() -> None:
    # 20 for a typical trial, of which at least 12: with 2.05 times as much for its controls 36.6, and 60 to deploy
    now = situation(deploy_each=60.0, plan_cost=0.0, vital_cost=60.0)
    assert isinstance(decide(replace(now, purse=Purse(1000.0, 700.0))), Try)
    small = replace(now, purse=Purse(100.0, 3.0))
    assert isinstance(decide(small), Try)
    assert decide(replace(small, purse=Purse(100.0, 4.0))) == Confirm()


def test_nothing_starts_beside_a_job_that_must_run_alone() -> None:
    assert decide(situation(alone=True, running=1)) == Wait()
    assert decide(situation(alone=True, running=1, confirming=True, checks=(check(1.0, vital=True),))) == Wait()


def test_deploying_comes_last_and_alone() -> None:
    ending = {"confirming": True, "closed": True, "deploys": 2, "deploy_cost": 40.0}
    assert decide(situation(**ending, purse=Purse(1000.0, 955.0))) == Deploy(cap=pytest.approx(75.0))
    assert decide(situation(**ending, purse=Purse(1000.0, 955.0), running=1)) == Wait()
    assert decide(situation(**{**ending, "deploys": 0, "deploy_cost": 0.0}, purse=Purse(1000.0, 955.0))) == Finish()


def test_what_deploying_needs_is_kept_from_runs_and_trials() -> None:
    small, purse = check(50.0), Purse(1000.0, 900.0)
    ending = {"confirming": True, "closed": True, "deploys": 1, "purse": purse}
    assert decide(situation(**ending, deploy_cost=50.0, checks=(small,))) == Run(small, cap=pytest.approx(80.0))
    assert decide(situation(**ending, deploy_cost=51.0, checks=(small,))) == Deploy(cap=pytest.approx(130.0))
    open_end = {"confirming": True, "deploys": 1, "purse": Purse(1000.0, 100.0)}
    assert decide(situation(**open_end, deploy_cost=300.0)) == Try(most=600.0, cap=600.0)


def test_a_vital_run_goes_before_deploying() -> None:
    vital = check(50.0, vital=True)
    now = situation(confirming=True, purse=Purse(1000.0, 980.0), deploys=1, deploy_cost=40.0, checks=(vital,))
    assert decide(now) == Run(vital, cap=pytest.approx(50.0))


def test_a_vital_run_leaves_room_for_deploying_where_there_is_room_for_both() -> None:
    vital = check(50.0, vital=True)
    now = situation(confirming=True, purse=Purse(1000.0, 940.0), deploys=1, deploy_cost=40.0, checks=(vital,))
    assert decide(now) == Run(vital, cap=pytest.approx(50.0))  # 1000 - 940 - 40, and the usual 3 % beyond


def test_scoring_what_is_trained_goes_before_deploying_others() -> None:
    purse, late = Purse(1000.0, 940.0), Check(7, "", 0, 15.0, 75.0)
    now = situation(purse=purse, confirming=True, deploys=2, deploy_cost=100.0, deploy_each=50.0)
    assert decide(replace(now, checks=(late,))) == Run(late, cap=pytest.approx(90.0))
    further = replace(late, replicate=1, cost=80.0)
    assert decide(replace(now, checks=(late, further))) == Deploy(pytest.approx(90.0))  # of three seeds one says little
    assert decide(replace(now, checks=(replace(late, replicate=1),))) == Deploy(pytest.approx(90.0))
    assert decide(replace(now, checks=(replace(late, cost=61.0),))) == Deploy(pytest.approx(90.0))


def test_a_deployment_starts_only_where_its_forecast_fits_within_a_small_overdraft() -> None:
    ending = {"confirming": True, "closed": True, "deploys": 1, "deploy_cost": 40.0, "deploy_each": 40.0}
    assert decide(situation(**ending, purse=Purse(1000.0, 990.0))) == Deploy(cap=pytest.approx(40.0))
    assert decide(situation(**ending, purse=Purse(1000.0, 991.0))) == Finish()
    assert decide(situation(**ending, purse=Purse(1000.0, 2000.0), fill=False)) == Deploy(cap=math.inf)
