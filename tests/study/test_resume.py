"""Studies that stop, however they stop, and go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autokd.core.canonical import digest
from autokd.core.errors import StorageError
from autokd.core.job import Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.driver import JOURNAL_SECONDS
from autokd.study.memory import Memory
from autokd.study.places import holds_work
from autokd.study.recover import recover
from autokd.study.settle import settle
from autokd.study.simulate import SimulatedRunner
from autokd.study.spent import spent_before
from autokd.study.view import StudyView
from autokd.testing.toy_work import toy_outcome

Toy = Callable[..., Any]


class Death(Exception):  # noqa: N818 - what happens, not an error of the study
    """The driver is killed: nothing that comes after it is run."""


def dies_at(count: int, leave: Callable[[Job], None] = lambda job: None) -> Callable[[Job], Outcome]:
    """Outcomes of a study whose driver dies as it hands out its ``count``-th job, of which ``leave`` leaves traces."""
    jobs = iter(range(1, 1000))

    def outcome(job: Job) -> Outcome:
        if next(jobs) == count:
            leave(job)
            raise Death
        return toy_outcome(job)

    return outcome


def ended(records: tuple[TrialRecord, ...]) -> dict[int, TrialRecord]:
    return {r.number: r for r in records if r.state in ("complete", "failed", "pruned")}


def same(one: TrialRecord, other: TrialRecord) -> bool:
    """Equal but for a checkpoint that was removed since."""
    return replace(one, checkpoint="") == replace(other, checkpoint="")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 14, 19])
def test_after_a_kill_everything_finished_is_there_once_and_nothing_runs(toy: Toy, count: int) -> None:
    made = toy("1cpu-min")
    with pytest.raises(Death):
        made.run(dies_at(count))
    before, spent = ended(made.store.records()), spent_before(made.store)
    study = made.run()
    after = ended(study.records)
    assert all(same(after[number], record) for number, record in before.items())
    assert study.states["running"] == study.states["paused"] == 0
    assert study.spent["cpu"] >= spent.device_seconds
    assert 0.9 <= study.budget.spent / study.budget.limit <= 1.05
    assert study.front


def test_ten_kills_of_one_study(toy: Toy) -> None:
    made, spent, known = toy("2cpu-min"), 0.0, {}
    for count in range(3, 13):
        with pytest.raises(Death):
            made.run(dies_at(count if count < 8 else 3))
        now = ended(made.store.records())
        assert all(same(now[number], record) for number, record in known.items())
        assert spent_before(made.store).device_seconds >= spent
        known, spent = now, spent_before(made.store).device_seconds
    study = made.run()
    complete = [r for r in study.records if r.state == "complete" and r.role in ("search", "random")]
    assert len({digest(r.pipeline) for r in complete}) == len(complete)
    assert study.front


def test_lost_trials_fail_as_killed_and_their_parameters_come_again(toy: Toy) -> None:
    made = toy("1cpu-min")
    with pytest.raises(Death):
        made.run(dies_at(6))
    places = made.places
    lost = [r for r in made.store.records() if r.state == "running" and not holds_work(places.trial(r.number))]
    assert lost
    study = made.run()
    for record in lost:
        assert study.records[record.number].state == "failed"
        assert study.records[record.number].error.startswith("killed")
        again = [r for r in study.records if r.params == record.params and r.state == "complete"]
        assert [r.role for r in again] == [record.role]


def test_a_result_that_was_not_told_any_more_is_taken_over_as_it_is(toy: Toy) -> None:
    left: list[tuple[Job, Outcome]] = []

    def leave(job: Job) -> None:
        outcome = replace(toy_outcome(job), seconds=1.25)
        (Path(job.folder) / "trial.result.json").write_text(json.dumps(outcome.to_json()))
        left.append((job, outcome))

    made = toy("1cpu-min")
    with pytest.raises(Death):
        made.run(dies_at(5, leave))
    job, outcome = left[0]
    record = made.run().records[int(job.id.removeprefix("trial-"))]
    assert record.state == "complete"
    assert record.values == outcome.values
    assert record.device_seconds == 1.25


def test_a_trial_that_had_saved_something_goes_on_under_its_number(toy: Toy) -> None:
    left: list[Job] = []

    def leave(job: Job) -> None:
        Path(job.folder).mkdir(parents=True, exist_ok=True)
        (Path(job.folder) / "position.json").write_text("{}")
        left.append(job)

    made = toy("1cpu-min")
    with pytest.raises(Death):
        made.run(dies_at(5, leave))
    resumed: list[Job] = []

    def outcome(job: Job) -> Outcome:
        resumed.append(job)
        return toy_outcome(job)

    study = made.run(outcome)
    (again,) = [job for job in resumed if job.id == left[0].id]
    assert again in resumed[:2]
    assert again.folder == left[0].folder
    assert study.records[int(left[0].id.removeprefix("trial-"))].state == "complete"


def test_a_kill_loses_no_more_than_the_journals_interval(toy: Toy) -> None:
    made = toy("10cpu-min", workers=1)
    died_at: list[float] = []

    def outcome(job: Job) -> Outcome:
        return replace(toy_outcome(job), seconds=100.0) if job.kind == "trial" else toy_outcome(job)

    class Clock(type(made.clock)):  # type: ignore[misc]
        def __call__(self) -> float:
            if self.now > 75.0:
                died_at.append(self.now)
                raise Death
            return float(self.now)

    made.clock = Clock()
    with pytest.raises(Death):
        made.run(outcome)
    assert 75.0 - JOURNAL_SECONDS - 1.0 <= spent_before(made.store).device_seconds <= 76.0


def test_an_interrupted_study_pauses_its_trials_and_goes_on_with_them(toy: Toy) -> None:
    made = toy("1cpu-min")

    def slow(job: Job) -> Outcome:
        return replace(toy_outcome(job), seconds=20.0) if job.kind == "trial" else toy_outcome(job)

    def interrupt(view: StudyView) -> None:
        if view.counts["running"] == 2:
            driver.interrupt()

    store = made.store
    driver = made.driver(store, listener=interrupt)
    SimulatedRunner(2, made.clock, slow).run(driver, store.settings)
    driver.conclude()
    assert driver.interrupted
    paused = [r for r in made.store.records() if r.state == "paused"]
    assert len(paused) == 2
    assert not any(r.state == "running" for r in made.store.records())
    study = made.run()
    assert all(study.records[r.number].state == "complete" for r in paused)
    assert study.finished


def test_a_spent_study_has_nothing_left_to_do(toy: Toy) -> None:
    made = toy("1cpu-min")
    first = made.run()
    driver = made.driver(made.store)
    assert driver.settled()

    def refuse(job: Job) -> Outcome:
        raise AssertionError(f"a spent study must start nothing, but it started {job.id}")

    second = made.run(refuse)
    assert second.front == first.front
    assert second.spent["cpu"] == pytest.approx(first.spent["cpu"])


def test_more_budget_goes_on_with_what_a_spent_one_had_to_leave(toy: Toy) -> None:
    def outcome(job: Job) -> Outcome:
        slow = job.id == "trial-3"
        if slow:
            Path(job.folder).mkdir(parents=True, exist_ok=True)
            (Path(job.folder) / "position.json").write_text("{}")
        return replace(toy_outcome(job), seconds=1e6) if slow else toy_outcome(job)

    made = toy("2cpu-min")
    first = made.run(outcome)
    assert first.records[3].state == "pruned"
    store = made.store
    store.update_settings(store.settings.with_changes(budget="4cpu-min"))
    Memory(store).reopen()
    folders: dict[str, str] = {}

    def remembered(job: Job) -> Outcome:
        folders[job.id] = job.folder
        return toy_outcome(job)

    study = made.run(remembered)
    assert 0.9 <= study.budget.spent / 4.0 <= 1.05
    (again,) = [r for r in study.records if r.continues == 3]
    assert again.state == "complete"
    assert Path(folders[f"trial-{again.number}"]).name == "3"
    assert study.records[3].state == "pruned"


def test_a_slightly_larger_budget_keeps_the_seeds_that_were_paid_for(toy: Toy) -> None:
    made = toy("3cpu-min")
    first = made.run()
    store = made.store
    assert first.front[0].n_seeds == 3
    store.update_settings(store.settings.with_changes(budget="3.1cpu-min"))
    Memory(store).reopen()
    study = made.run()
    best = Memory(made.store).plan
    assert best is not None
    assert best.finalists[0] == first.front[0].trial  # else the test says nothing
    assert next(f for f in study.front if f.trial == best.finalists[0]).n_seeds == 3
    assert {c.name: c.n_seeds for c in study.controls} == {c.name: c.n_seeds for c in first.controls}


def test_what_was_said_of_the_end_is_not_said_any_more_once_a_study_goes_on(toy: Toy) -> None:
    store = toy("1cpu-min").store
    memory = Memory(store)
    memory.note("The validation split was carved.")
    memory.note_ending("The budget holds 1 instead of 3 seeds for finalists and controls.")
    memory.keep_result({"front": []})
    assert len(memory.notes) == 2
    assert memory.finished
    memory.reopen()
    assert memory.notes == ("The validation split was carved.",)
    assert not memory.finished
    assert memory.result == {"front": []}
    memory.keep_result({"front": [], "controls": []})
    assert memory.finished


def test_a_trial_whose_end_was_half_written_is_charged_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy("1cpu-min")
    store, places = made.store, made.places
    pipeline = {"stages": [{"use": "toy:Teacher"}, {"use": "toy:Train", "layers": 1}]}
    number = store.start(pipeline, {"layers": 1, "rate": 0.01, "behaviour": "plain"})
    values = {"valid_score": 0.8, "macs": 1e9}
    outcome = Outcome("complete", 5.0, values=values, checkpoint="c")
    places.trial(number).mkdir(parents=True)
    (places.trial(number) / "trial.result.json").write_text(json.dumps(outcome.to_json()))

    def die(*given: object) -> None:
        raise Death

    with monkeypatch.context() as patched:
        patched.setattr(type(store._backend), "set_trial_state_values", die)
        with pytest.raises(StorageError, match="Death"):
            settle(store, store.records()[number], outcome, 5.0, 1.0, 5.0)
    again = made.store
    assert again.records()[number].state == "running"
    recover(again, places, 1.0)
    (record,) = made.store.records()
    assert (record.state, record.device_seconds, record.values) == ("complete", 5.0, values)
