"""What one may ask of a study that exists: to try a pipeline, to spend more; and of one that does not: its plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError, SpecError, StorageError, UsageError
from autokd.core.job import Job, Outcome
from autokd.core.settings import DataSource
from autokd.models.tiny import tiny_checkpoint
from autokd.store.study_store import StudyStore
from autokd.study.add_budget import add_budget, sum_of
from autokd.study.dry_run import plan
from autokd.study.enqueue import enqueue
from autokd.study.memory import Memory
from autokd.study.places import Places
from autokd.study.prepare import Request, prepare
from autokd.study.queue import Queue
from autokd.testing.toy_work import toy_outcome

Toy = Callable[..., Any]
STORAGE = "s.journal"
TEXTS = [f"{'good' if i % 2 else 'bad'} word{i} in a row" for i in range(80)]
SPACE = """
stages:
  - {use: basics:FineTuneTeacher, epochs: 1}
  - {use: basics:TruncateLayers, keep: {name: layers, pick: [1, 2]}}
  - {use: basics:Distil, epochs: {name: epochs, pick: [1, 2, 4]}}
form: {name: form, pick: [float32]}
"""


def request(**changes: Any) -> Request:
    """A request for a small local data set and a small local teacher, in the test's own folder."""
    rows = [f"{text},{'yes' if i % 2 else 'no'}" for i, text in enumerate(TEXTS)]
    Path("d.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    Path("space.yaml").write_text(SPACE)
    if not Path("teacher").exists():
        tiny_checkpoint(Path("teacher"), TEXTS)
    given = {"data": DataSource("d.csv"), "budget": "30cpu-min", "teacher": "teacher", "space": "space.yaml"}
    return Request(**{**given, "max_length": 16, "workers": 1, "storage": STORAGE, **changes})


@pytest.fixture
def study() -> StudyStore:
    found = prepare(request(study="asked"))
    return StudyStore.create(STORAGE, found.settings, found.space.holes)


def pipeline(**changes: Any) -> dict[str, Any]:
    distil = {"use": "basics:Distil", "epochs": 2, **changes}
    stages = [
        {"use": "basics:FineTuneTeacher", "epochs": 1},
        {"use": "basics:TruncateLayers", "keep": 1},
        distil,
    ]
    return {"stages": stages}


def test_a_pipeline_of_the_space_waits_with_its_parameters(study: StudyStore) -> None:
    found = enqueue(STORAGE, "asked", pipeline())
    assert found.params == {"layers": 1, "epochs": 2, "form": "float32"}
    assert found.pipeline["stages"][0]["model"] == study.settings.teachers[0]
    assert not found.running
    (waiting,) = Queue(Places(study.files, "asked").queue).waiting()
    assert (waiting.file, waiting.pipeline, waiting.params) == (found.file, found.pipeline, found.params)
    assert StudyStore.open(STORAGE, "asked").records() == ()


def test_a_pipeline_outside_of_the_space_waits_without(study: StudyStore) -> None:
    assert enqueue(STORAGE, "asked", pipeline(epochs=3)).params is None
    with study.lock():
        assert enqueue(STORAGE, "asked", pipeline(epochs=5)).running
    assert len(Queue(Places(study.files, "asked").queue).waiting()) == 2


def test_what_cannot_run_or_was_asked_for_already_is_refused(study: StudyStore) -> None:
    with pytest.raises(SpecError, match="student"):
        enqueue(STORAGE, "asked", {"stages": pipeline()["stages"][:1]})
    with pytest.raises(UsageError, match="asked"):
        enqueue(STORAGE, "nothing", pipeline())
    found = enqueue(STORAGE, "asked", pipeline())
    with pytest.raises(UsageError, match="waits"):
        enqueue(STORAGE, "asked", pipeline())
    study.start(found.pipeline, found.params, "enqueued")
    with pytest.raises(UsageError, match="trial 0"):
        enqueue(STORAGE, "asked", pipeline())


def asked_for(layers: int, rate: float) -> dict[str, Any]:
    train = {"use": "toy:Train", "layers": layers, "rate": rate, "behaviour": "plain"}
    return {"stages": [{"use": "toy:Teacher"}, train], "form": "float32"}


def test_a_driver_takes_what_waits_before_anything_else(toy: Toy) -> None:
    made = toy("1cpu-min", constraints=("params<=3e6",))
    queue = Queue(made.places.queue)
    queue.put(asked_for(2, 0.02), {"layers": 2, "rate": 0.02, "behaviour": "plain"})
    queue.put(asked_for(4, 7.0), None)  # outside of the space, and against the constraint
    (queue.folder / "notes.json").write_text("[]")
    study = made.run()
    first, second = study.records[:2]
    assert (first.role, first.pipeline, first.params["layers"]) == ("enqueued", asked_for(2, 0.02), 2)
    assert (second.role, second.params, second.feasible) == ("enqueued", {}, False)
    assert queue.waiting() == ()
    assert sum(record.role == "enqueued" for record in study.records) == 2


def test_what_is_asked_for_while_a_study_runs_is_taken_next(toy: Toy) -> None:
    made = toy("1cpu-min")

    def outcome(job: Job) -> Outcome:
        if job.id == "trial-3":
            Queue(made.places.queue).put(asked_for(1, 0.03), None)
        return toy_outcome(job)

    study = made.run(outcome)
    (asked,) = [record for record in study.records if record.role == "enqueued"]
    assert asked.number <= 5
    assert asked.state == "complete"


def test_a_request_that_a_kill_lost_waits_again_and_one_that_was_written_is_not_repeated(toy: Toy) -> None:
    made = toy("1cpu-min")
    queue = Queue(made.places.queue)
    file = queue.put(asked_for(2, 0.02), None)
    kept = file.read_text()

    class Death(Exception):  # noqa: N818 - what happens
        pass

    def dies(job: Job) -> Outcome:
        if job.kind == "trial":
            raise Death
        return toy_outcome(job)

    with pytest.raises(Death):
        made.run(dies)
    assert queue.waiting() == ()
    file.write_text(kept)  # as if the kill had come before the entry was removed
    study = made.run()
    asked = [record for record in study.records if record.role == "enqueued"]
    assert [record.state for record in asked] == ["failed", "complete"]
    assert queue.waiting() == ()


def test_requests_count_against_a_limit_on_trials(toy: Toy) -> None:
    made = toy("3trials")
    Queue(made.places.queue).put(asked_for(2, 0.02), None)
    study = made.run()
    assert study.budget.spent == 3
    assert sum(record.role in ("search", "random", "enqueued") for record in study.records) == 3


def test_more_budget_comes_in_the_units_of_the_old_one() -> None:
    assert sum_of(Budget.parse("8gpu-h"), Budget.parse("30gpu-min")) == "8.5gpu-h"
    assert sum_of(Budget.parse("20cpu-min, 100trials"), Budget.parse("50trials")) == "20cpu-min,150trials"
    with pytest.raises(BudgetError, match="unit of the old one"):
        sum_of(Budget.parse("8gpu-h"), Budget.parse("1h"))


def test_a_study_with_more_budget_goes_on(toy: Toy) -> None:
    made = toy("1cpu-min")
    first = made.run()
    assert Memory(made.store).finished
    with made.store.lock(), pytest.raises(StorageError, match="one driver"):
        add_budget(made.storage, "toy", "1cpu-min")
    assert add_budget(made.storage, "toy", "1cpu-min") == "2cpu-min"
    assert not Memory(made.store).finished
    study = made.run()
    assert 0.9 <= study.budget.spent / 2.0 <= 1.05
    assert len(study.records) > len(first.records)


def test_a_plan_says_what_a_search_would_take_and_leaves_nothing() -> None:
    found = plan(request(), n_pipelines=3)
    assert not Path(STORAGE).exists()
    assert not Path(STORAGE + ".files").exists()
    assert found.stages == ("basics:FineTuneTeacher", "basics:TruncateLayers", "basics:Distil")
    assert 0 < found.cheapest_seconds <= found.typical_seconds <= found.dearest_seconds
    assert found.teacher_seconds > 0
    assert found.budget_seconds == 30 * 60
    assert found.n_trials > 3
    assert len(found.pipelines) == 3
    assert len({json.dumps(each) for each in found.pipelines}) == 3
    assert found.disk_bytes > 0
    assert found.memory_bytes > 1e7
    json.dumps(found.to_json())
    assert plan(request(budget="6trials")).budget_seconds is None


def test_a_plan_refuses_what_the_search_would() -> None:
    with pytest.raises(UsageError, match="unknown objective"):
        plan(request(objectives=("score", "beauty")))


def test_latency_is_resolved_to_tokens_and_kept() -> None:
    settings = prepare(request(latency="batch=4,length=max,runtime=torch")).settings
    assert settings.latency == "batch=4,length=max,threads=1,runtime=torch"
    assert 4 <= settings.latency_length <= 16
    with pytest.raises(UsageError, match="key of --latency"):
        prepare(request(latency="size=4"))
    with pytest.raises(UsageError, match="leave none"):
        prepare(request(constraints=("latency<=3", "latency>=5")))
