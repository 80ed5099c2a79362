"""Deploying what was confirmed: who, when, how often, and what the result says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autokd.core.job import ALONE, Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.confirm import controls, finalists, shipping
from autokd.study.deploying import forms
from autokd.study.finish import write_result
from autokd.study.memory import Memory
from autokd.study.plan import Plan
from autokd.study.result import snapshot
from autokd.testing.toy import ToyAppraiser, toy_interval
from autokd.testing.toy_work import toy_outcome

Toy = Callable[..., Any]


class Death(Exception):  # noqa: N818 - what happens, not an error of the study
    """The driver is killed."""


def _dies_while_deploying(job: Job) -> Outcome:
    """The driver's sudden death as the first deployment runs."""
    if job.kind == "deploy":
        raise Death
    return toy_outcome(job)


def test_every_member_of_the_front_is_deployed_in_all_its_forms(toy: Toy) -> None:
    study = toy("1cpu-min").run()
    assert study.front
    for member in study.front:
        layers = member.pipeline["stages"][1]["layers"]
        assert (member.latency_ms, member.teacher_latency_ms) == (2.0 * layers, 24.0)
        assert member.speedup == pytest.approx(12.0 / layers)
        assert (member.size_bytes, member.form) == (4e6 * layers, "float32")
        assert [form.runtime for form in member.forms] == ["onnx", "onnx-int8"]
        assert member.fastest == "onnx-int8"
        assert Path(member.forms[1].folder) == Path(member.checkpoint).with_name("onnx-int8")
    assert study.teacher is not None
    assert (study.teacher.latency_ms, study.teacher.size_bytes) == (24.0, 4e7)


def test_controls_of_a_finalists_size_have_its_latencies_without_a_job_of_their_own(toy: Toy) -> None:
    jobs: list[Job] = []
    study = toy("1cpu-min").run(lambda job: jobs.append(job) or toy_outcome(job))
    deployed = [job for job in jobs if job.kind == "deploy"]
    assert len(deployed) == len(study.front)
    best = study.front[0]
    assert [(c.latency_ms, c.speedup) for c in study.controls] == [(best.latency_ms, best.speedup)] * 2
    assert all(None not in finalist.to_json().values() for finalist in (*study.front, *study.controls))


def test_a_deployment_runs_alone_and_a_spent_study_does_not_repeat_it(toy: Toy) -> None:
    made = toy("1cpu-min", workers=3)
    driver, running = made.driver(made.store), []
    kinds: list[str] = []
    while not driver.finished:
        while (job := driver.next_job()) is not None:
            running.append(job)
            kinds.append(job.kind)
            assert len(running) == 1 or not any(job.kind in ALONE for job in running)
        made.clock.now += 0.5
        if running:
            oldest = running.pop(0)
            driver.done(oldest.id, toy_outcome(oldest))
    assert kinds[-1] == "deploy"
    assert made.driver(made.store).settled()


def test_a_kill_while_deploying_costs_nothing_but_time(toy: Toy) -> None:
    made = toy("1cpu-min")

    with pytest.raises(Death):
        made.run(_dies_while_deploying)
    study = made.run()
    assert study.finished
    assert all(member.latency_ms for member in study.front)
    assert study.states["running"] == study.states["paused"] == 0


def test_a_deployment_whose_worker_dies_is_tried_again_and_one_that_cannot_be_is_named(toy: Toy) -> None:
    deaths = iter(["worker died: SIGKILL"] * 2)

    def unlucky(job: Job) -> Outcome:
        why = next(deaths, "") if job.kind == "deploy" else ""
        return Outcome("failed", 0.5, error=why) if why else toy_outcome(job)

    assert all(member.latency_ms for member in toy("1cpu-min").run(unlucky).front)


def test_a_deployment_that_cannot_be_made_ends_no_study(toy: Toy) -> None:
    def broken(job: Job) -> Outcome:
        return Outcome("failed", 0.5, error="no space left") if job.kind == "deploy" else toy_outcome(job)

    study = toy("1cpu-min").run(broken)
    assert study.finished
    assert all(member.latency_ms is None for member in study.front)
    assert any("could not be deployed: no space left" in note for note in study.notes)
    assert any("without latencies" in note for note in study.notes)


def test_deploying_is_forecast_and_the_budget_holds(toy: Toy) -> None:
    def slow(job: Job) -> Outcome:
        return replace(toy_outcome(job), seconds=1.0) if job.kind == "deploy" else toy_outcome(job)

    study = toy("90s").run(slow)
    assert all(member.latency_ms for member in study.front)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05


def test_a_teacher_that_is_gone_is_made_again_for_what_is_left_to_deploy(toy: Toy) -> None:
    made = toy("1cpu-min")

    with pytest.raises(Death):
        made.run(_dies_while_deploying)
    before = Memory(made.store).prefixes["toy-teacher"]["device_seconds"]
    shutil.rmtree(made.places.cache)
    store = made.store  # the forecast alone does not hold it any more
    store.update_settings(store.settings.with_changes(budget="2cpu-min"))
    jobs: list[Job] = []
    study = made.run(lambda job: jobs.append(job) or _with_teacher(job))
    assert [job.kind for job in jobs].count("prefix") == 1
    assert all(member.latency_ms for member in study.front)
    assert Memory(made.store).prefixes["toy-teacher"]["device_seconds"] == pytest.approx(before + 10.0)
    assert study.spent["cpu"] <= 1.05 * 120


def _with_teacher(job: Job) -> Outcome:
    """As a real job does, one that needs the teacher fails where there is none."""
    if job.kind not in ("probe", "prefix") and not (Path(job.spec.cache) / "toy-teacher.json").is_file():
        return Outcome("failed", 0.1, error="the shared stages of this pipeline must be made before its trials")
    return toy_outcome(job)


def test_a_cache_that_is_removed_before_there_is_more_budget_is_filled_again(toy: Toy) -> None:
    made = toy("1cpu-min")
    first = made.run(_with_teacher)
    shutil.rmtree(made.places.cache)
    store = made.store
    store.update_settings(store.settings.with_changes(budget="2cpu-min"))
    Memory(store).reopen()
    jobs: list[Job] = []
    study = made.run(lambda job: jobs.append(job) or _with_teacher(job))
    assert [job.kind for job in jobs].count("prefix") == 1
    assert study.states["failed"] == 0
    assert study.states["complete"] > first.states["complete"]
    assert study.shared_seconds == pytest.approx(2 * first.shared_seconds)
    assert all(member.latency_ms for member in study.front)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05


def test_a_teacher_that_the_rest_of_the_budget_does_not_hold_ends_no_study(toy: Toy) -> None:
    made = toy("1cpu-min")

    with pytest.raises(Death):
        made.run(_dies_while_deploying)
    shutil.rmtree(made.places.cache)
    study = made.run(_with_teacher)
    assert study.finished
    assert study.states["failed"] == 0
    assert study.budget.spent / study.budget.limit <= 1.05
    assert any("The budget does not hold deploying" in note for note in study.notes)
    assert all(member.latency_ms is None for member in study.front)
    shutil.rmtree(made.places.cache, ignore_errors=True)
    store = made.store
    store.update_settings(store.settings.with_changes(budget="2cpu-min"))
    Memory(store).reopen()
    assert all(member.latency_ms for member in made.run(_with_teacher).front)


def run(number: int, role: str, confirms: int | None, name: str = "", **values: float) -> TrialRecord:
    measured = {"valid_score": 0.8, "test_score": 0.7, "macs": 4.0, "params": 2.0, "size_bytes": 8.0, **values}
    pipeline = {"stages": [], "form": "float32"}
    return TrialRecord(
        number, "complete", role, pipeline, name=name, confirms=confirms, values=measured, checkpoint=f"/c/{number}/x",  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_control_of_another_size_is_deployed_itself() -> None:
    records = {
        0: run(0, "search", None),
        1: run(1, "confirm", 0),
        2: run(2, "control", 0, "logits"),
        3: run(3, "control", 0, "fine-tune", params=3.0),
    }
    found = shipping(Plan((0,)), records, ("score", "macs"))
    assert [record.number for record in found] == [1, 3]
    speed = {"latency_ms": 1.0, "latency_p90_ms": 2.0, "teacher_latency_ms": 6.0, "speedup": 6.0}
    deployed = {"1": {"values": speed, "forms": (), "fastest": "onnx"}}
    (best,) = finalists(Plan((0,)), records, ("score", "macs"), toy_interval, deployed)
    assert (best.latency_ms, best.fastest) == (1.0, "onnx")
    told = {c.name: c.latency_ms for c in controls(Plan((0,)), records, toy_interval, ("score", "macs"), deployed)}
    assert told == {"logits": 1.0, "fine-tune": None}


def test_forms_are_read_from_a_deployments_values() -> None:
    values = {"latency_ms": 1.0, "onnx/latency_ms": 1.0, "onnx/valid_score": 0.8, "torch/latency_ms": 2.0}
    onnx, torch = forms(Outcome("complete", 1.0, values=values, checkpoint="/t/3/checkpoint"))
    assert onnx == {"runtime": "onnx", "folder": "/t/3/onnx", "latency_ms": 1.0, "valid_score": 0.8}
    assert torch["folder"] == "/t/3/checkpoint"


def test_what_deploying_cost_is_counted_after_a_kill_too(toy: Toy) -> None:
    made = toy("1cpu-min")
    study = made.run()
    known = Memory(made.store).deployed
    assert study.deploy_seconds == pytest.approx(sum(each["device_seconds"] for each in known.values()))


def test_what_was_deployed_on_another_machine_is_timed_anew(toy: Toy) -> None:
    made = toy("1cpu-min")
    deployed: list[str] = []

    def of(machine: str, most: int) -> Callable[[Job], Outcome]:
        def outcome(job: Job) -> Outcome:
            if job.kind != "deploy":
                return toy_outcome(job)
            deployed.append(f"{machine} {job.id}")
            if sum(each.startswith(machine) for each in deployed) > most:
                raise Death
            return replace(toy_outcome(job), timed_on=machine)

        return outcome

    with pytest.raises(Death):
        made.run(of("here", 1), machine="here")
    study = made.run(of("there", 99), machine="there")
    assert {member.timed_on for member in study.front} == {"there"}
    assert len(study.front) == sum(each.startswith("there") for each in deployed)
    assert study.deploy_seconds == pytest.approx(0.5 * (1 + len(study.front)))


def test_a_machine_that_cannot_time_leaves_what_another_one_timed(toy: Toy) -> None:
    def broken(job: Job) -> Outcome:
        return Outcome("failed", 0.5, error="no such operator") if job.kind == "deploy" else toy_outcome(job)

    made = toy("1cpu-min")
    study = made.run(lambda job: replace(toy_outcome(job), timed_on="here"), machine="here")
    made.store.put("result", None)
    again = made.run(broken, machine="there")
    assert [(f.trial, f.latency_ms, f.timed_on) for f in again.front] == [
        (f.trial, f.latency_ms, "here") for f in study.front
    ]


def test_a_better_trial_that_the_budget_left_unconfirmed_is_named(toy: Toy) -> None:
    made = toy("1cpu-min")
    said = "scores higher on validation"
    assert not any(said in note for note in made.run().notes)
    store = made.store
    first = next(record for record in store.records() if record.role == "search" and record.state == "complete")
    late = store.start(first.pipeline)
    store.finish(late, values={**first.values, "valid_score": 0.999})
    write_result(store, ToyAppraiser(store.settings, made.places.cache), toy_interval)
    told = [note for note in snapshot(store).notes if said in note]
    assert len(told) == 1
    assert told[0].startswith(f"Trial {late} {said} (0.9990)")
