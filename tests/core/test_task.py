"""Tasks are values: their content hash follows rows and labels, not names."""

from dataclasses import replace

import pytest

from autokd.core.task import Split, Task


def make_task(name: str = "t") -> Task:
    split = Split(("a b", "c", "d"), None, (0, 1, 0))
    return Task(name, split, split.take([0, 1]), split.take([2]), ("no", "yes"), "classification", "accuracy")


def test_content_follows_the_rows() -> None:
    task = make_task()
    assert task.content == make_task("another name").content
    assert task.content != replace(task, train=task.train.take([1, 0, 2])).content
    assert task.content != replace(task, label_names=("a", "b")).content


def test_outputs_are_classes_or_one_value() -> None:
    assert make_task().n_outputs == 2
    assert replace(make_task(), problem="regression", label_names=()).n_outputs == 1


def test_splits_join_only_with_their_like() -> None:
    single, pair = Split(("a",), None, (0,)), Split(("a",), ("b",), (1,))
    assert single.plus(single).labels == (0, 0)
    with pytest.raises(ValueError, match="pairs"):
        single.plus(pair)


def test_texts_are_replaced_in_the_order_in_which_they_are_listed() -> None:
    pair = Split(("a", "b"), ("c", "d"), (0, 1))
    assert pair.texts == ("a", "b", "c", "d")
    assert pair.with_texts(["e", "f", "g", "h"]) == Split(("e", "f"), ("g", "h"), (0, 1))
    assert make_task().train.with_texts(("x", "y", "z")) == Split(("x", "y", "z"), None, (0, 1, 0))
    with pytest.raises(ValueError, match="a split of 4 texts takes as many"):
        pair.with_texts(["e", "f"])
