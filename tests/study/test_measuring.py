"""Latency as an objective and as a constraint: measured once per shape, alone, and never lost."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autokd.core.job import ALONE, Job, Outcome
from autokd.study.memory import Memory
from autokd.study.shapes import known_values, latency_values, needs, teacher_of, with_latency
from autokd.study.simulate import SimulatedRunner
from autokd.study.spent import spent_before
from autokd.study.view import StudyView
from autokd.testing.toy_work import toy_outcome

Toy = Callable[..., Any]
FAST = {"objectives": ("score", "latency")}


class Death(Exception):  # noqa: N818 - what happens, not an error of the study
    """The driver is killed."""


def test_each_shape_is_measured_once_and_every_trial_of_it_is_told(toy: Toy) -> None:
    jobs: list[Job] = []
    study = toy("1cpu-min", **FAST).run(lambda job: jobs.append(job) or toy_outcome(job))
    shapes = Counter(job.spec.pipeline["stages"][1]["layers"] for job in jobs if job.kind == "latency")
    assert set(shapes.values()) == {1}
    complete = [record for record in study.records if record.state == "complete"]
    assert len(complete) > sum(shapes.values())
    for record in complete:
        assert record.values["latency_ms"] == 2.0 * record.pipeline["stages"][1]["layers"]
        assert record.values["speedup"] == pytest.approx(24.0 / record.values["latency_ms"])
    assert len({member.latency_ms for member in study.front}) == len(study.front)
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05


def test_a_latency_is_measured_with_the_workers_drained(toy: Toy) -> None:
    made = toy("1cpu-min", workers=3, **FAST)
    driver, running = made.driver(made.store), []
    measured = 0
    while not driver.finished:
        while (job := driver.next_job()) is not None:
            running.append(job)
            measured += job.kind == "latency"
            assert len(running) == 1 or not any(job.kind == "latency" for job in running)
        made.clock.now += 0.5
        if running:
            oldest = running.pop(0)
            driver.done(oldest.id, toy_outcome(oldest))
    assert measured > 1


@pytest.mark.parametrize("constraint", ["latency<=4", "size_bytes<=8e6"])
def test_a_shape_that_is_known_to_break_a_constraint_is_not_tried_again(toy: Toy, constraint: str) -> None:
    study = toy("14trials", constraints=(constraint,), workers=1).run()
    tried = Counter(r.pipeline["stages"][1]["layers"] for r in study.records if r.role in ("search", "random"))
    assert all(tried[layers] <= 1 for layers in (3, 4))
    assert tried[1] + tried[2] >= 10
    assert {f.pipeline["stages"][1]["layers"] for f in study.front} <= {1, 2}


def test_a_float_checkpoint_that_must_be_too_large_is_never_tried(toy: Toy) -> None:
    study = toy("5trials", constraints=("size_bytes<=7e6",)).run()
    assert {r.pipeline["stages"][1]["layers"] for r in study.records} == {1}


@pytest.mark.parametrize("when", ["measuring", "trial"])
def test_trials_that_wait_survive_a_kill(toy: Toy, when: str) -> None:
    made = toy("1cpu-min", **FAST)
    seen: list[Job] = []

    def dies(job: Job) -> Outcome:
        seen.append(job)
        if job.kind == "latency" or (when == "trial" and len(seen) == 5):
            raise Death
        return leave(job, toy_outcome(job))

    with pytest.raises(Death):
        made.run(dies)
    study = made.run()
    assert study.finished
    assert study.states["running"] == study.states["paused"] == 0
    complete = [record for record in study.records if record.state == "complete"]
    assert all("latency_ms" in record.values for record in complete)
    assert not any(record.error for record in study.records if record.number == 0)


def test_a_trial_that_waits_keeps_its_values_where_the_budget_holds_nothing_more(toy: Toy) -> None:
    made = toy("1cpu-min", **FAST)

    def dies(job: Job) -> Outcome:
        if job.kind == "latency":
            raise Death
        return leave(job, toy_outcome(job))

    with pytest.raises(Death):
        made.run(dies)
    made.driver(made.store)  # a second driver, killed as soon as it had looked around
    store = made.store
    store.update_settings(
        store.settings.with_changes(budget=f"{spent_before(store).device_seconds / 60 + 0.002:.4f}cpu-min")
    )
    before = {record.number: record for record in store.records()}
    driver = made.driver(store)
    SimulatedRunner(2, made.clock, lambda job: leave(job, toy_outcome(job))).run(driver, store.settings)
    driver.conclude()
    records = {record.number: record for record in made.store.records()}
    assert records[0].state == "complete"
    assert "latency_ms" in records[0].values
    assert records[0].device_seconds == before[0].device_seconds > 0
    assert not any(
        r.state == "pruned" and (made.places.trial(r.number) / "trial.result.json").is_file() for r in records.values()
    )


def leave(job: Job, outcome: Outcome) -> Outcome:
    """What a real job leaves in its folder when it has finished."""
    if job.kind in ("trial", "confirm", "control"):
        (Path(job.folder) / f"{job.kind}.result.json").write_text(json.dumps(outcome.to_json()))
    return outcome


def test_an_interrupted_study_keeps_what_waits(toy: Toy) -> None:
    made = toy("1cpu-min", **FAST)
    store = made.store

    def interrupt(view: StudyView) -> None:
        if any(job.startswith("latency") for job in view.jobs):
            driver.interrupt()

    driver = made.driver(store, listener=interrupt)
    stopping = SimulatedRunner(2, made.clock, lambda job: stopped(job, toy_outcome(job)))
    stopping.run(driver, store.settings)
    driver.conclude()
    assert driver.interrupted
    waiting = [record for record in made.store.records() if record.state == "paused"]
    assert waiting
    assert all(record.device_seconds > 0 for record in waiting)
    study = made.run()
    assert all(study.records[record.number].state == "complete" for record in waiting)


def stopped(job: Job, outcome: Outcome) -> Outcome:
    return Outcome("paused", 0.1) if job.kind == "latency" else outcome


def test_a_shape_that_cannot_be_measured_fails_its_trials_with_the_cause(toy: Toy) -> None:
    def broken(job: Job) -> Outcome:
        hopeless = job.kind == "latency" and job.spec.pipeline["stages"][1]["layers"] == 4
        return Outcome("failed", 0.1, error="no such operator") if hopeless else toy_outcome(job)

    study = toy("1cpu-min", **FAST).run(broken)
    failed = [record for record in study.records if record.state == "failed"]
    assert failed
    assert all("could not be measured: no such operator" in record.error for record in failed)
    assert study.front


def test_a_worker_that_dies_while_measuring_is_replaced(toy: Toy) -> None:
    deaths = iter(["worker died: SIGKILL"] * 2)

    def unlucky(job: Job) -> Outcome:
        why = next(deaths, "") if job.kind == "latency" else ""
        return Outcome("failed", 0.1, error=why) if why else toy_outcome(job)

    study = toy("1cpu-min", **FAST).run(unlucky)
    assert study.states["failed"] == 0
    assert study.front


def test_studies_that_do_not_ask_for_latencies_measure_none_before_the_end(toy: Toy) -> None:
    made = toy("1cpu-min")
    study = made.run()
    assert not any("latency_ms" in record.values for record in study.records)
    assert all(set(known) == {"size_bytes"} for known in Memory(made.store).shapes.values())


def test_a_shape_keeps_its_first_latency_whatever_the_teacher() -> None:
    values = {"latency_ms": 2.0, "latency_p90_ms": 3.0, "teacher_latency_ms": 12.0, "speedup": 6.0}
    shapes = {"s": with_latency({"s": {"size_bytes": 7.0}}, "s", "one", "m", values)}
    assert latency_values(shapes, "s", "one", "m") == values
    assert latency_values(shapes, "s", "two", "m") is None
    assert latency_values(shapes, "s", "one", "another") is None
    again = {**values, "latency_ms": 4.0, "teacher_latency_ms": 40.0, "speedup": 10.0}
    shapes = {"s": with_latency(shapes, "s", "two", "m", again)}
    two = latency_values(shapes, "s", "two", "m")
    assert two == {"latency_ms": 2.0, "latency_p90_ms": 3.0, "teacher_latency_ms": 20.0, "speedup": 10.0}
    assert known_values(shapes, "s", "m") == {"latency_ms": 2.0, "size_bytes": 7.0}
    assert known_values(shapes, "s", "another") == {"size_bytes": 7.0}
    assert known_values(shapes, "other", "m") == {}


def test_what_asks_for_a_quantity() -> None:
    assert needs("latency", ("score", "latency"), ())
    assert needs("latency", ("score",), ("latency<=3",))
    assert not needs("latency", ("score", "macs"), ("params<=3",))
    assert teacher_of({"stages": [{"use": "a:B"}, {"use": "a:C", "model": "m"}]}) == "m"
    assert teacher_of({"stages": [{"use": "a:B"}]}) == "a:B"


def test_int8_shapes_of_two_methods_do_not_share_a_latency() -> None:
    times = {"latency_p90_ms": 3.0, "teacher_latency_ms": 12.0, "speedup": 6.0}
    shapes = {"s:dynamic": with_latency({}, "s:dynamic", "t", "m", {"latency_ms": 2.0, **times})}
    assert latency_values(shapes, "s:static", "t", "m") is None
    shapes["s:static"] = with_latency(shapes, "s:static", "t", "m", {"latency_ms": 1.5, **times})
    assert latency_values(shapes, "s:dynamic", "t", "m")["latency_ms"] == 2.0  # type: ignore[index]
    # Before a trial has run its method is open: a shape is only known to be as slow as its fastest.
    assert known_values(shapes, "s", "m") == {"latency_ms": 1.5}


def timed_on(machine: str, slower: float = 1.0) -> Callable[[Job], Outcome]:
    """Toy jobs of one machine."""

    def outcome(job: Job) -> Outcome:
        found = toy_outcome(job)
        if job.kind not in ALONE:
            return leave(job, found)
        values = {n: v * slower if n.endswith(("latency_ms", "p90_ms")) else v for n, v in found.values.items()}
        return replace(found, values=values, timed_on=machine)

    return outcome


def dies_after(made: Any, trials: int) -> Callable[[Job], Outcome]:
    def outcome(job: Job) -> Outcome:
        if sum(record.state == "complete" for record in made.store.records()) >= trials:
            raise Death
        return timed_on("here")(job)

    return outcome


def weights(job: Job, outcome: Outcome) -> Outcome:
    """As real checkpoints do, those of toys hold a configuration."""
    if job.kind in ("trial", "confirm", "control"):
        (Path(outcome.checkpoint) / "config.json").write_text("{}")
    return outcome


@pytest.mark.parametrize("trials", [3, 12])
def test_a_study_that_goes_on_on_another_machine_compares_latencies_of_that_one_only(toy: Toy, trials: int) -> None:
    made = toy("1cpu-min", workers=1, objectives=("score", "latency"))
    here, jobs = dies_after(made, trials), []

    def there(job: Job) -> Outcome:
        jobs.append(job)
        return weights(job, timed_on("there", slower=3.0)(job))

    with pytest.raises(Death):
        made.run(lambda job: weights(job, here(job)), machine="here")
    before = [record for record in made.store.records() if "latency_ms" in record.values]
    assert {record.timed_on for record in before} == {"here"}
    study = made.run(there, machine="there")
    assert jobs[0].kind == "latency"  # the frontier is timed anew first of all
    assert study.front
    for member in study.front:
        assert member.timed_on == "there"
        assert member.latency_ms == 6.0 * member.pipeline["stages"][1]["layers"]
    later = [r for r in study.records if "latency_ms" in r.values and r.number > before[-1].number]
    assert {record.timed_on for record in later} <= {"there"}
    assert study.budget.spent / study.budget.limit <= 1.05


def test_a_bound_holds_on_the_machine_that_the_study_is_on(toy: Toy) -> None:
    made = toy("14trials", workers=1, objectives=("score", "latency"), constraints=("latency<=8",))
    here = dies_after(made, 8)
    with pytest.raises(Death):
        made.run(lambda job: weights(job, here(job)), machine="here")
    study = made.run(lambda job: weights(job, timed_on("there", slower=2.0)(job)), machine="there")
    assert {member.pipeline["stages"][1]["layers"] for member in study.front} <= {1, 2}


def test_measurements_of_a_mixed_cluster_are_refused_but_for_one_machine(toy: Toy) -> None:
    answers = itertools.cycle(["one", "other"])
    study = toy("1cpu-min", **FAST).run(lambda job: timed_on(next(answers) if job.kind in ALONE else "")(job))
    complete = [record for record in study.records if "latency_ms" in record.values]
    assert {record.timed_on for record in complete} == {"one"}
    assert {member.timed_on for member in study.front if member.latency_ms} <= {"one"}
