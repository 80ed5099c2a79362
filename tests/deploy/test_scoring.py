"""Scores and predictions of checkpoints whose classes are named in some way of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd.core.errors import DataError
from autokd.core.task import Task
from autokd.deploy.scoring import Model, evaluate, open_model, predict
from autokd.models.tiny import tiny_checkpoint
from autokd.testing.tiny import tiny_regression, tiny_task, tiny_texts

TASK = tiny_task()


@pytest.fixture
def named(tmp_path: Path) -> Callable[..., Model]:
    """Opens one and the same classifier under other names for its classes."""
    tiny_checkpoint(tmp_path / "model", tiny_texts(), labels=3)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())

    def open_as(*names: str, **changes: Any) -> Model:
        path.write_text(json.dumps({**config, "id2label": {str(i): name for i, name in enumerate(names)}, **changes}))
        return open_model(path.parent)

    return open_as


def _three(task: Task = TASK) -> Task:
    """The tiny task with a third class, which a few rows have."""
    names = ("river", "sand", "stone")
    labels = tuple((0, 2)[label] if row % 5 else 1 for row, label in enumerate(task.test.labels))
    return replace(task, test=replace(task.test, labels=labels), label_names=names)


def test_classes_are_matched_by_name_whatever_their_order(named: Callable[..., Model]) -> None:
    plain = named("river", "sand", "stone")
    turned = named("stone", "river", "sand")
    said, told = predict(plain, TASK.test.text_a), predict(turned, TASK.test.text_a)
    rename = {"river": "stone", "sand": "river", "stone": "sand"}
    assert [told.label(row) for row in range(len(told))] == [rename[said.label(row)] for row in range(len(said))]
    labels = [("river", "sand", "stone")[label] for label in _three().test.labels]
    agreed = np.mean([told.label(row) == label for row, label in enumerate(labels)])
    assert evaluate(turned, _three()).score == pytest.approx(agreed)


def test_a_model_may_know_more_classes_than_the_data_have(named: Callable[..., Model]) -> None:
    found = evaluate(named("sand", "stone", "river"), TASK)
    assert 0 <= found.low <= found.score <= found.high <= 1
    assert found.n_rows == len(TASK.test)
    assert "f1" not in found.others  # which is for two classes, and the model has three


def test_a_class_that_the_model_does_not_know_is_an_error(named: Callable[..., Model]) -> None:
    with pytest.raises(DataError, match=r"has stone and .* has river, sand, water"):
        evaluate(named("river", "sand", "water"), TASK)


def test_classes_without_names_are_taken_in_order_with_a_note(named: Callable[..., Model]) -> None:
    found = evaluate(named("LABEL_0", "LABEL_1", "LABEL_2"), _three())
    assert "river, sand, stone, in this order" in found.notes[0]
    assert found.score == evaluate(named("river", "sand", "stone"), _three()).score


def test_numbered_classes_are_matched_by_their_numbers(named: Callable[..., Model]) -> None:
    numbered = replace(_three(), label_names=("0", "1", "2"))
    found = evaluate(named("LABEL_0", "LABEL_1", "LABEL_2"), numbered)
    assert found.notes == ()
    assert found.score == evaluate(named("0", "1", "2"), numbered).score


def test_every_labelled_row_is_scored_where_all_are_asked_for(named: Callable[..., Model]) -> None:
    task = _three()
    assert evaluate(named("river", "sand", "stone"), task, "all").n_rows == sum(
        map(len, (task.train, task.valid, task.test))
    )


def test_values_are_predicted_and_scored(tmp_path: Path) -> None:
    model = open_model(tiny_checkpoint(tmp_path / "model", tiny_texts(), labels=1))
    said = predict(model, TASK.test.text_a)
    assert said.probabilities is None
    assert said.values is not None
    assert said.values.shape == (len(TASK.test),)
    found = evaluate(model, tiny_regression())
    assert found.metric == "pearson"
    assert set(found.others) == {"spearman", "pearson_spearman"}
    with pytest.raises(DataError, match="is made for regression and 'tiny' is for classification"):
        evaluate(model, TASK)


def test_probabilities_add_up_and_pairs_are_read(named: Callable[..., Model]) -> None:
    model = named("a", "b", "c")
    single = predict(model, ["old rock", "new water"])
    pairs = predict(model, ["old rock", "new water"], ["far", "near"])
    assert single.probabilities is not None
    assert pairs.probabilities is not None
    np.testing.assert_allclose(single.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert not np.allclose(single.probabilities, pairs.probabilities)
