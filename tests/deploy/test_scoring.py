"""Scores and predictions of checkpoints whose classes are named in some way of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd.core.errors import DataError, UsageError
from autokd.deploy.scoring import Model, evaluate, open_model, predict
from autokd.models.tiny import tiny_checkpoint
from autokd.tasks.scored import ToScore
from autokd.tasks.splits import Labelled
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


NAMES = ("river", "sand", "stone")


def three(*names: str, metric: str = "") -> ToScore:
    """The tiny task's test rows with a third class, which a few rows have; their labels are called ``names``."""
    names = names or NAMES
    ids = [(0, 2)[label] if row % 5 else 1 for row, label in enumerate(TASK.test.labels)]
    rows = Labelled(TASK.test.text_a, None, tuple(names[i] for i in ids))
    return ToScore("tiny", "test", rows, tuple(sorted(names)), metric=metric)


def two(**changes: Any) -> ToScore:
    """The tiny task's test rows."""
    rows = Labelled(TASK.test.text_a, None, tuple(TASK.label_names[label] for label in TASK.test.labels))
    return replace(ToScore("tiny", "test", rows, TASK.label_names), **changes)


def test_classes_are_matched_by_name_whatever_their_order(named: Callable[..., Model]) -> None:
    plain = named("river", "sand", "stone")
    turned = named("stone", "river", "sand")
    said, told = predict(plain, TASK.test.text_a), predict(turned, TASK.test.text_a)
    rename = {"river": "stone", "sand": "river", "stone": "sand"}
    assert [told.label(row) for row in range(len(told))] == [rename[said.label(row)] for row in range(len(said))]
    agreed = np.mean([told.label(row) == label for row, label in enumerate(three().rows.labels)])
    found = evaluate(turned, three(metric="accuracy"))
    assert found.score == pytest.approx(agreed)
    assert found.notes == ()


def test_a_model_may_know_more_classes_than_the_data_have(named: Callable[..., Model]) -> None:
    found = evaluate(named("sand", "stone", "river"), two())
    assert 0 <= found.low <= found.score <= found.high <= 1
    assert (found.n_rows, found.metric) == (len(TASK.test), "accuracy")
    assert "f1" not in found.others  # which is for two classes, and the model has three


def test_rows_of_one_class_are_scored(named: Callable[..., Model]) -> None:
    model = named("river", "sand", "stone")
    rows = Labelled(TASK.test.text_a, None, ("stone",) * len(TASK.test))
    found = evaluate(model, ToScore("tiny", "all", rows, ("stone",)))
    said = predict(model, TASK.test.text_a)
    assert found.score == np.mean([said.label(row) == "stone" for row in range(len(said))])


def test_the_first_metric_that_fits_is_taken(named: Callable[..., Model]) -> None:
    model = named("river", "sand", "stone")
    found = evaluate(model, two(metrics=("f1", "gone.py:of@00", "matthews")))
    assert found.metric == "matthews"
    assert [note.split(":")[0] for note in found.notes] == ["not scored by f1", "not scored by of"]
    with pytest.raises(UsageError, match="'f1' does not fit classification with 3 classes"):
        evaluate(model, two(metric="f1"))


def test_values_are_predicted_and_scored(tmp_path: Path) -> None:
    model = open_model(tiny_checkpoint(tmp_path / "model", tiny_texts(), labels=1))
    said = predict(model, TASK.test.text_a)
    assert said.probabilities is None
    assert said.values is not None
    assert said.values.shape == (len(TASK.test),)
    labels = tuple(str(value) for value in tiny_regression().test.labels)
    rows = ToScore("tiny", "test", Labelled(TASK.test.text_a, None, labels), labels)
    found = evaluate(model, replace(rows, metric="pearson"))
    assert found.metric == "pearson"
    assert set(found.others) == {"spearman", "pearson_spearman"}
    whole = evaluate(model, replace(rows, rows=Labelled(("a", "b", "c"), None, ("1", "2", "4"))))
    assert whole.metric == "pearson_spearman"
    with pytest.raises(DataError, match="must be finite numbers, but 'tiny' has 'stone'"):
        evaluate(model, two())


def test_probabilities_add_up_and_pairs_are_read(named: Callable[..., Model]) -> None:
    model = named("a", "b", "c")
    single = predict(model, ["old rock", "new water"])
    pairs = predict(model, ["old rock", "new water"], ["far", "near"])
    assert single.probabilities is not None
    assert pairs.probabilities is not None
    np.testing.assert_allclose(single.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert not np.allclose(single.probabilities, pairs.probabilities)
