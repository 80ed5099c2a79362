"""Whatever is written to a study is read back, by us and by Optuna, and the frontier is the search's own."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from autokd.core.errors import SpecError, StorageError, UsageError
from autokd.core.holes import Hole
from autokd.core.settings import StudySettings
from autokd.store import StudyStore, list_studies
from autokd.store.backend import connect

PIPELINE = {"stages": [{"use": "a:Cut", "keep": 2}], "form": "float32"}
PARAMS = {"student": "cut", "dropout": None, "lr": 1e-4, "layers": 2}
VALUES = {"valid_score": 0.8, "macs": 1e6, "params": 5e6}


def reopened(store: StudyStore) -> StudyStore:
    return StudyStore.open(store.storage, store.settings.study)


def as_optuna(store: StudyStore) -> optuna.Study:
    return optuna.load_study(study_name=store.settings.study, storage=connect(store.storage, create=False))


def test_a_finished_trial_comes_back_whole(store: StudyStore) -> None:
    number = store.start(PIPELINE, PARAMS, "random", replicate=2, forecast_macs=7e9, continues=None)
    told = store.finish(
        number,
        values=VALUES,
        constraints={"params<=15e6": -1e7},
        curve=[{"stage": 1, "step": 10, "score": 0.7, "seconds": 3.0}],
        checkpoint="/trials/0/model",
        predictions={"valid": "p.safetensors"},
        device_seconds=12.5,
        device_seconds_alone=20.0,
        trained_macs=6e9,
        spent_at=33.0,
        environment={"torch": "2"},
    )
    assert told.state == "complete"
    assert told.replicate == 2
    assert told.curve[0]["score"] == 0.7
    assert store.records() == (told,)
    assert reopened(store).records() == (told,)


def test_optuna_sees_parameters_values_state_and_pipeline(store: StudyStore) -> None:
    store.finish(store.start(PIPELINE, PARAMS), values=VALUES, constraints={"params<=1e6": 4e6})
    trial = as_optuna(store).trials[0]
    assert trial.state == TrialState.COMPLETE
    assert trial.params == PARAMS
    assert trial.values == [0.8, 1e6]
    assert trial.constraints == {"params<=1e6": 4e6}
    assert trial.user_attrs["pipeline"] == PIPELINE
    assert trial.user_attrs["metrics"] == VALUES
    assert trial.user_attrs["role"] == "search"
    study = as_optuna(store)
    assert study.metric_names == ["score", "macs"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_values_are_told_in_the_order_of_the_objectives(make: Callable[..., StudyStore]) -> None:
    store = make(objectives=("params", "score"))
    store.finish(store.start(PIPELINE, PARAMS), values=VALUES)
    assert as_optuna(store).trials[0].values == [5e6, 0.8]


@pytest.mark.parametrize("role", ["control", "confirm"])
def test_controls_and_confirmations_stay_off_the_frontier(store: StudyStore, role: Any) -> None:
    searched = store.start(PIPELINE, PARAMS)
    store.finish(searched, values=VALUES)
    other = store.start(PIPELINE, None, role, name="logits", confirms=searched)
    record = store.finish(other, values={**VALUES, "valid_score": 0.9, "test_score": 0.88})
    assert [trial.number for trial in as_optuna(store).best_trials] == [searched]
    assert record.feasible, "the record itself breaks no constraint of the user's"
    assert reopened(store).records()[1] == record
    assert record.confirms == searched
    assert record.values["test_score"] == 0.88


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_complete_trial_without_a_finite_objective_fails(store: StudyStore, value: float | None) -> None:
    number = store.start(PIPELINE, PARAMS)
    values = {"macs": 1e6} if value is None else {"macs": 1e6, "valid_score": value}
    record = store.finish(number, values=values, curve=[{"stage": 0, "step": 1, "score": math.nan, "seconds": 1.0}])
    assert record.state == "failed"
    assert "finite values for ['score', 'macs']" in record.error
    assert record.values == {"macs": 1e6}
    assert record.curve == ()
    assert reopened(store).records() == (record,)
    assert as_optuna(store).trials[0].state == TrialState.FAIL


def test_failed_and_pruned_trials(store: StudyStore) -> None:
    numbers = [store.start(PIPELINE, PARAMS) for _ in range(2)]
    store.finish(numbers[0], state="failed", error="out of memory")
    store.finish(numbers[1], state="pruned", checkpoint="/trials/1/model", values={"valid_score": 0.5})
    failed, pruned = reopened(store).records()
    assert (failed.state, failed.error) == ("failed", "out of memory")
    assert (pruned.state, pruned.checkpoint) == ("pruned", "/trials/1/model")
    assert [trial.state for trial in as_optuna(store).trials] == [TrialState.FAIL, TrialState.PRUNED]


def test_a_paused_trial_runs_on_in_optuna_and_names_its_checkpoint(store: StudyStore) -> None:
    number = store.start(PIPELINE, PARAMS)
    point = {"stage": 1, "step": 5, "score": 0.6, "seconds": 2.0}
    store.pause(number, checkpoint="/trials/0", curve=[point], device_seconds=3.0)
    record = reopened(store).records()[0]
    assert (record.state, record.checkpoint, record.curve, record.device_seconds) == (
        "paused",
        "/trials/0",
        (point,),
        3.0,
    )
    trial = as_optuna(store).trials[0]
    assert trial.state == TrialState.RUNNING
    assert trial.user_attrs["paused"] == {"checkpoint": "/trials/0"}
    other = reopened(store)
    other.mark_running(number)
    assert reopened(store).records()[0].state == "running"
    assert other.finish(number, values=VALUES).device_seconds == 3.0, "what was known before stays"
    assert reopened(store).records()[0].state == "complete"


def test_a_trial_ends_once(store: StudyStore) -> None:
    number = store.start(PIPELINE, PARAMS)
    store.finish(number, values=VALUES)
    for act in (store.finish, store.pause, store.mark_running):
        with pytest.raises(StorageError, match="trial 0 is complete already"):
            act(number)
    with pytest.raises(StorageError, match="has no trial 7"):
        store.finish(7)


def test_unknown_parameters_are_refused(store: StudyStore) -> None:
    with pytest.raises(SpecError, match="Did you mean 'layers'"):
        store.start(PIPELINE, {"layer": 3})
    with pytest.raises(ValueError, match="not in"):
        store.start(PIPELINE, {"student": "grown"})
    assert store.records() == ()


def test_dropped_checkpoints_are_named_no_more(store: StudyStore) -> None:
    numbers = [store.start(PIPELINE, PARAMS) for _ in range(3)]
    for number in numbers:
        store.finish(number, values=VALUES, checkpoint=f"/trials/{number}")
    store.drop_checkpoint(0)
    store.drop_checkpoint(2)
    for view in (store, reopened(store)):
        assert [record.checkpoint for record in view.records()] == ["", "/trials/1", ""]


def test_values_under_keys(store: StudyStore) -> None:
    store.put("ledger", {"spent": [1, 2.5]})
    assert reopened(store).get("ledger") == {"spent": [1, 2.5]}
    store.delete("ledger")
    for view in (store, reopened(store)):
        assert view.get("ledger") is None
        assert view.get("ledger", 3) == 3
    store.delete("never")
    with pytest.raises(KeyError, match="store's own"):
        store.put("settings", {})


def test_settings_come_back_and_keep_what_a_study_is(
    store: StudyStore, settings: StudySettings, holes: tuple[Hole, ...]
) -> None:
    assert reopened(store).settings == settings
    assert reopened(store).holes == holes
    larger = replace(settings, budget="99trials")
    store.update_settings(larger)
    assert reopened(store).settings == larger
    with pytest.raises(UsageError, match="keeps its objectives"):
        store.update_settings(replace(settings, objectives=("score", "params")))


def test_names_of_studies(store: StudyStore, settings: StudySettings) -> None:
    with pytest.raises(UsageError, match="'first' exists"):
        StudyStore.create(store.storage, settings, store.holes)
    StudyStore.create(store.storage, replace(settings, study="second"), store.holes)
    with pytest.raises(UsageError, match="Did you mean 'second'"):
        StudyStore.open(store.storage, "secnd")


def test_a_study_whose_making_was_cut_short_is_made_again(storage: str, settings: StudySettings) -> None:
    backend = connect(storage, create=True)
    optuna.create_study(storage=backend, study_name="first", directions=["maximize", "minimize"])
    with pytest.raises(StorageError, match="not made by autokd"):
        StudyStore.open(storage, "first")
    assert StudyStore.create(storage, settings, ()).settings == settings


def test_other_schemas_are_refused(store: StudyStore) -> None:
    as_optuna(store).set_user_attr("schema", 99)
    with pytest.raises(StorageError, match="has schema 99, but this version of autokd reads schema 1"):
        reopened(store)


def test_listing_counts_states_and_leaves_other_tools_out(store: StudyStore, settings: StudySettings) -> None:
    StudyStore.create(store.storage, replace(settings, study="empty"), store.holes)
    optuna.create_study(storage=connect(store.storage, create=False), study_name="foreign")
    for _ in range(3):
        store.start(PIPELINE, PARAMS)
    store.finish(0, values=VALUES)
    store.pause(1, checkpoint="x")
    first, empty = list_studies(store.storage)
    assert (first.study, first.task_name, first.budget) == ("first", "rte", "10trials")
    assert first.states == {"complete": 1, "paused": 1, "running": 1}
    assert (empty.study, empty.states) == ("empty", {})
    assert list_studies("sqlite:///nowhere/none.db") == ()


def test_opening_what_is_not_there(settings: StudySettings) -> None:
    for storage in ("sqlite:///nowhere/none.db", "none.journal"):
        with pytest.raises(StorageError, match="there is no storage at"):
            StudyStore.open(storage, "first")


WRITER = """
import sys
from autokd.store import StudyStore
store = StudyStore.open(sys.argv[1], "first")
while True:
    number = store.start({"stages": [{"use": "a:Cut"}]}, {"student": "cut", "lr": 1e-4})
    store.finish(number, values={"valid_score": number / 1000, "macs": 1.0}, checkpoint="c")
    if number == 2:
        print("ready", flush=True)
"""


def test_a_killed_writer_leaves_whole_trials(store: StudyStore, process: Callable[..., subprocess.Popen[str]]) -> None:
    writer = process(WRITER, store.storage)
    writer.kill()
    writer.wait()
    again = reopened(store)
    *ended, last = again.records()
    assert all(record.state == "complete" for record in ended)
    assert all(record.values["valid_score"] == record.number / 1000 for record in ended)
    assert all(record.pipeline == {"stages": [{"use": "a:Cut"}]} for record in (*ended, last))
    assert all(record.params == {"student": "cut", "lr": 1e-4} for record in (*ended, last))
    if last.state == "running":
        again.finish(last.number, state="failed", error="lost")
    assert again.start(PIPELINE, PARAMS) == last.number + 1


def test_a_study_remembers_where_its_files_are(storage: str, settings: StudySettings, holes: tuple[Hole, ...]) -> None:
    store = StudyStore.create(storage, settings, holes, "elsewhere")
    assert store.files == Path("elsewhere").absolute()
    assert reopened(store).files == store.files
    assert reopened(store).artifacts == str(store.files)
    assert StudyStore.open(storage, settings.study, "/moved").files == Path("/moved")


def test_an_error_that_was_written_without_an_end_goes_when_the_trial_ends_well(
    store: StudyStore, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = store.start(PIPELINE, PARAMS)
    monkeypatch.setattr(store._backend, "set_trial_state_values", _no_room)
    with pytest.raises(StorageError, match="the disk is full"):
        store.finish(number, "failed", error="the disk is full")
    again = StudyStore.open(storage, store.settings.study)
    assert again.records()[number].state == "running"
    assert again.finish(number, values=VALUES).error == ""
    assert StudyStore.open(storage, store.settings.study).records()[number].error == ""


def _no_room(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_study_has_one_driver_whatever_folders_of_files_are_named(store: StudyStore) -> None:
    here = StudyStore.open(store.storage, "first", "one")
    there = StudyStore.open(store.storage, "first", "two")
    assert here.files != there.files
    with here.lock(), pytest.raises(StorageError, match="one driver at a time"), there.lock():
        raise AssertionError
    with here.lock():
        here.put("notes", ["mine"])
        here.start(PIPELINE, PARAMS)
    assert there.records() == ()
    with there.lock():  # it is as the last driver left it
        assert there.get("notes") == ["mine"]
        assert len(there.records()) == 1
