"""Whole searches on a virtual clock: what is spent, what is tried, what is confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autokd.core.canonical import digest
from autokd.core.errors import AutokdError, BudgetError, SpecError
from autokd.core.job import ALONE, Job, Outcome
from autokd.study.frontier import frontier
from autokd.study.memory import Memory
from autokd.study.view import StudyView
from autokd.testing.toy import toy_space
from autokd.testing.toy_work import ALONE_SECONDS, toy_outcome

Toy = Callable[..., Any]


@pytest.mark.parametrize("budget", ["1cpu-min", "45s"])
def test_nine_tenths_of_the_budget_are_spent_and_not_much_more(toy: Toy, budget: str) -> None:
    study = toy(budget).run()
    assert study.finished
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05
    assert study.front


@pytest.mark.parametrize("slow", [3.0, 0.5])
def test_a_probe_that_was_wrong_does_not_break_the_budget(toy: Toy, slow: float) -> None:
    def outcome(job: Job) -> Outcome:
        found = toy_outcome(job)
        return found if job.kind == "probe" else replace(found, seconds=found.seconds * slow)

    study = toy(f"{slow}cpu-min").run(outcome)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05
    assert study.front


# A teacher takes 10 seconds, a layer one: a budget in which both are as large a share as those of small real studies.
@pytest.mark.parametrize(("slow", "deploying"), [(1.0, 0.5), (1.0, 4.0), (1.5, 1.8), (2.0, 0.5)])
@pytest.mark.parametrize("cost", ["macs", "latency"])
def test_a_small_budget_holds_controls_and_is_kept(toy: Toy, slow: float, deploying: float, cost: str) -> None:
    def outcome(job: Job) -> Outcome:
        found = toy_outcome(job)
        if job.kind in ALONE:
            return replace(found, seconds=deploying)
        return found if job.kind == "probe" else replace(found, seconds=found.seconds * slow)

    study = toy("0.6cpu-min", objectives=("score", cost)).run(outcome)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05
    assert {control.name for control in study.controls} == {"fine-tune", "logits"}
    for member in study.front:
        # As an objective a latency is known even of what was not deployed.
        assert member.latency_ms is not None or cost != "latency"
        assert member.forms or any("does not hold deploying" in note for note in study.notes)
        assert member.checkpoint


def test_a_teacher_that_takes_most_of_the_budget_still_leaves_a_student(toy: Toy) -> None:
    def outcome(job: Job) -> Outcome:
        found = toy_outcome(job)
        return replace(found, seconds=found.seconds * 2.8) if job.kind == "prefix" else found

    study = toy("0.6cpu-min").run(outcome)  # 28 of 36 seconds for the teacher, where 10 were forecast
    assert study.front
    assert {record.pipeline["stages"][1]["layers"] for record in study.records if record.role == "search"} == {1}
    assert study.budget.spent / study.budget.limit <= 1.05


@pytest.mark.parametrize("slow", [2.0, 3.0])
def test_the_first_deployment_tells_what_the_others_cost(toy: Toy, slow: float) -> None:
    jobs: list[Job] = []

    def outcome(job: Job) -> Outcome:
        jobs.append(job)
        return replace(toy_outcome(job), seconds=slow) if job.kind == "deploy" else toy_outcome(job)

    made = toy("1cpu-min")
    study = made.run(outcome)
    deadlines = [job.deadline_seconds for job in jobs if job.kind == "deploy"]
    limit, ratio = 60.0, slow / ALONE_SECONDS
    assert all(seconds <= 1.05 * limit for seconds in deadlines)
    assert Memory(made.store).surprises("deploy")[0] == pytest.approx(ratio)
    assert study.budget.spent / study.budget.limit <= 1.05


def test_a_deployment_that_does_not_end_is_stopped_where_the_budget_does(toy: Toy) -> None:
    def outcome(job: Job) -> Outcome:
        return replace(toy_outcome(job), seconds=500.0) if job.kind == "deploy" else toy_outcome(job)

    study = toy("1cpu-min").run(outcome)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05
    assert all(member.latency_ms is None and member.checkpoint for member in study.front)
    assert any("does not hold deploying" in note and "autokd export" in note for note in study.notes)


def test_what_jobs_cost_is_what_the_driver_saw(toy: Toy) -> None:
    study = toy("1cpu-min").run()
    trials = sum(record.device_seconds for record in study.records)
    teacher, probe = 10.0, 0.1
    assert study.deploy_seconds > 0
    assert study.spent["cpu"] == pytest.approx(trials + teacher + probe + study.deploy_seconds)


def test_everything_is_tried_once_and_a_tenth_at_random(toy: Toy) -> None:
    study = toy("2cpu-min").run()
    searched = [r for r in study.records if r.role in ("search", "random")]
    assert len({digest(r.pipeline) for r in searched}) == len(searched)
    assert sum(r.role == "random" for r in searched) == pytest.approx(len(searched) / 10, abs=1)


def test_the_first_finalist_has_three_seeds_and_two_controls_of_its_shape(toy: Toy) -> None:
    study = toy("2cpu-min").run()
    best = study.front[0]
    assert best.n_seeds == 3
    assert best.test_low <= best.test_score <= best.test_high
    assert {control.name for control in study.controls} == {"fine-tune", "logits"}
    for control in study.controls:
        assert (control.n_seeds, control.macs) == (3, best.macs)
    scored = [r for r in study.records if r.confirms == best.trial and r.role == "confirm" and r.replicate == 0]
    assert len(scored) == 1
    assert scored[0].device_seconds < 1.0  # the search trial itself, scored on the test split


def test_test_scores_are_opened_for_finalists_and_controls_only(toy: Toy) -> None:
    for record in toy("1cpu-min").run().records:
        assert ("test_score" in record.values) == (record.role in ("confirm", "control"))


def test_a_small_budget_has_fewer_seeds_and_says_so(toy: Toy) -> None:
    study = toy("0.5cpu-min").run()
    assert study.front[0].n_seeds < 3
    assert any("seeds" in note for note in study.notes)


@pytest.mark.parametrize("n_trials", [1, 12])
def test_a_limit_on_trials_counts_search_trials_exactly(toy: Toy, n_trials: int) -> None:
    study = toy(f"{n_trials}trials").run()
    assert (study.budget.limit, study.budget.spent) == (n_trials, n_trials)
    assert sum(r.role in ("search", "random") for r in study.records) == n_trials
    assert study.front[0].n_seeds == 3
    assert len(study.controls) == 2


def test_many_workers_do_not_overdraw_it(toy: Toy) -> None:
    study = toy("1.5cpu-min", workers=5).run()
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05


def test_devices_are_never_overcommitted(toy: Toy) -> None:
    made = toy("1cpu-min", workers=3)
    driver = made.driver(made.store)
    running: list[Job] = []
    while not driver.finished:
        while (job := driver.next_job()) is not None:
            running.append(job)
            assert sum(job.devices for job in running) <= 3.0
            if job.kind == "prefix":
                assert (job.devices, job.threads) == (3.0, 3)
        made.clock.now += 1.0
        if not driver.finished:
            oldest = running.pop(0)
            driver.done(oldest.id, toy_outcome(oldest))


def test_a_budget_that_holds_no_trial_is_refused_with_one_that_would(toy: Toy) -> None:
    with pytest.raises(BudgetError, match=r"write \d+cpu-min at least"):
        toy("0.2cpu-min").run()


def test_choices_that_the_budget_does_not_hold_are_masked_and_named(toy: Toy) -> None:
    # 21 device seconds: 10 for the teacher, a fifth for confirming, so that a trial of six does not fit
    study = toy("0.35cpu-min", space_text=toy_space().replace("[1, 2, 3, 4]", "[1, 6]")).run()
    assert any("Masked" in note and "layers=6" in note for note in study.notes)
    assert all(r.values["macs"] == 1e9 for r in study.records)


def test_a_space_without_a_legal_pipeline_is_refused(toy: Toy) -> None:
    text = toy_space().replace("toy:Teacher", "toy:Other")
    with pytest.raises(SpecError, match="no pipeline"):
        toy("1cpu-min", space_text=text).run()


def test_a_space_that_is_used_up_ends_the_search_early(toy: Toy) -> None:
    text = toy_space().replace("{name: rate, low: 0.001, high: 0.1, log: true}", "0.01")
    study = toy("10cpu-min", space_text=text).run()
    assert study.finished
    assert sum(r.role in ("search", "random") for r in study.records) == 4


def test_constraints_known_from_shapes_are_never_tried(toy: Toy) -> None:
    study = toy("1cpu-min", constraints=("params<=2e6",)).run()
    assert {r.values["params"] for r in study.records} <= {1e6, 2e6}
    assert all(r.constraints["params<=2e6"] <= 0 for r in study.records if r.role == "search")


def test_constraints_that_no_trial_keeps_are_an_error_that_names_them(toy: Toy) -> None:
    with pytest.raises(AutokdError, match=r"keeps the constraints score>=0\.99"):
        toy("1cpu-min", constraints=("score>=0.99",)).run()


def test_failed_and_nan_trials_are_recorded_with_their_cause_and_the_search_goes_on(toy: Toy) -> None:
    study = toy("1.5cpu-min", space_text=toy_space("plain", "raise", "nan")).run()
    failed = [r for r in study.records if r.state == "failed"]
    assert any("this toy raises" in r.error for r in failed)
    assert any("finite" in r.error for r in failed)
    assert all(r.device_seconds > 0 for r in failed)
    assert study.front


def test_a_study_whose_trials_all_fail_stops_early_and_says_why(toy: Toy) -> None:
    made = toy("10cpu-min", space_text=toy_space("raise"))
    with pytest.raises(AutokdError, match="could be completed; the last one: ValueError: this toy raises"):
        made.run()
    assert len(made.store.records()) < 10


def test_a_teacher_that_cannot_be_made_ends_the_study_with_its_cause(toy: Toy) -> None:
    def outcome(job: Job) -> Outcome:
        return Outcome("failed", 1.0, error="OSError: no such disk") if job.kind == "prefix" else toy_outcome(job)

    with pytest.raises(AutokdError, match="no such disk"):
        toy("1cpu-min").run(outcome)


def test_a_teacher_whose_worker_died_is_started_again(toy: Toy) -> None:
    deaths = iter(["worker died: SIGKILL"] * 2)

    def outcome(job: Job) -> Outcome:
        died = next(deaths, None) if job.kind == "prefix" else None
        return Outcome("failed", 1.0, error=died) if died else toy_outcome(job)

    study = toy("2cpu-min").run(outcome)
    assert study.front
    assert study.teacher is not None
    assert study.teacher.name == "toy-base"


def test_only_frontier_finalists_and_controls_keep_their_folders(toy: Toy) -> None:
    made = toy("2cpu-min")
    study = made.run()
    kept = {int(path.name) for path in (made.places.folder / "trials").iterdir()}
    expected = {f.trial for f in study.front} | {r.number for r in study.records if r.role == "control"}
    expected |= {r.number for r in study.records if r.role == "confirm" and r.replicate > 0}
    front_so_far = {r.number for r in frontier(study.records, study.settings.objectives)}
    assert expected <= kept <= expected | front_so_far
    assert all(Path(r.checkpoint).is_dir() for r in study.records if r.checkpoint)


def test_a_runaway_trial_is_paused_and_ends_pruned(toy: Toy) -> None:
    def outcome(job: Job) -> Outcome:
        slow = job.id == "trial-3"
        return replace(toy_outcome(job), seconds=1e6) if slow else toy_outcome(job)

    study = toy("2cpu-min").run(outcome)
    assert study.records[3].state == "pruned"
    assert study.records[3].device_seconds <= 60.0
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05


def test_whoever_watches_sees_phases_counts_and_the_budget(toy: Toy) -> None:
    seen: list[StudyView] = []
    study = toy("1cpu-min").run(listener=seen.append)
    phases = list(dict.fromkeys(view.phase for view in seen))
    assert phases == ["probe", "teacher", "search", "confirm", "deploy", "done"]
    assert (
        seen[-1].counts == study.states == {**dict.fromkeys(study.states, 0), **Counter(r.state for r in study.records)}
    )
    assert all(a.spent <= b.spent for a, b in pairwise(seen))
    assert seen[-1].unit == "cpu-min"
    assert seen[-1].front
