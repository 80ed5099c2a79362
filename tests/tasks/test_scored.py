"""Which rows a checkpoint is scored on, and what is said of those it was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.core.provenance import Provenance
from autokd.core.task import without_labels
from autokd.tasks.graphs import LabelledNodes
from autokd.tasks.scored import ToScore, pick_nodes, pick_rows
from autokd.tasks.splits import Labelled, Source, make_task
from autokd.testing.tiny import tiny_graph


def rows(n: int, start: int = 0, labels: tuple[str, ...] = ("no", "yes")) -> Labelled:
    numbers = range(start, start + n)
    return Labelled(tuple(f"text {i}" for i in numbers), None, tuple(labels[i % len(labels)] for i in numbers))


def source(**splits: Labelled) -> Source:
    return Source("toy", splits)


def made_of(data: Source, seed: int) -> Provenance:
    found = Provenance.of(make_task(data, seed))
    assert found is not None
    return found


def pick(data: Source, *asked: Any, **named: Any) -> ToScore:
    return pick_rows(data, "classification", *asked, **named)


@pytest.mark.parametrize("name", ["train", "test"])
def test_one_split_is_scored_whole_however_small(name: str) -> None:
    data = source(**{name: rows(3, labels=("no",))})
    found = pick(data)
    assert (found.split, found.rows, found.seed, found.notes) == ("all", rows(3, labels=("no",)), None, ())
    assert pick(data, name) == pick(data, "all") == found


def test_of_several_splits_one_is_picked_as_a_study_would() -> None:
    data = source(train=rows(40), valid=rows(5, 100), test=rows(6, 200))
    assert pick(data).rows == rows(6, 200)
    assert [pick(data, split).rows for split in ("train", "valid")] == [rows(40), rows(5, 100)]
    assert len(pick(data, "all").rows) == 51
    assert pick(source(valid=rows(5, 100), test=rows(6, 200)), "valid").rows == rows(5, 100)
    two = source(train=rows(40), valid=rows(5, 100))  # whose validation a study would take for its test
    assert pick(two).rows == rows(5, 100)
    carved = pick(two, "valid", 3)
    assert carved.rows.text_a == make_task(two, 3).valid.text_a
    assert carved.seed == 3
    assert pick(two, "train", 3).rows.text_a == make_task(two, 3).train.text_a


def test_a_label_that_train_lacks_is_no_hindrance() -> None:
    found = pick(source(train=rows(40), test=rows(6, 200, ("no", "maybe"))))
    assert found.labels == ("maybe", "no", "yes")


@pytest.mark.parametrize(
    ("data", "split", "seed", "kind", "message"),
    [
        (source(train=rows(40)), "valid", None, UsageError, "has one split, which is scored whole"),
        (
            source(valid=rows(40), test=rows(6, 99)),
            "train",
            None,
            UsageError,
            "nor one .* has valid, test",
        ),
        (source(train=rows(9)), "test", 0, DataError, "20 labelled rows in all, but got: train 9"),
        (source(), None, None, DataError, "have labels, but 'toy' has none"),
        (source(train=rows(40)), "dev", None, UsageError, "a split is one of train, valid, test, all"),
    ],
)
def test_what_cannot_be_scored(
    data: Source, split: str | None, seed: int | None, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pick(data, split, seed)


def test_a_checkpoints_own_data_are_split_as_its_study_split_them() -> None:
    data = source(train=rows(100))
    made, task = made_of(data, 7), make_task(data, 7)
    found = pick(data, made=made)
    assert (found.split, found.seed, found.rows.text_a) == ("test", 7, task.test.text_a)
    assert found.notes == ("test: 25 rows, carved from train by seed 7, as the checkpoint's study did.",)
    assert pick(data, "valid", made=made).rows.text_a == task.valid.text_a
    assert pick(data, "train", made=made).notes[-1] == "the checkpoint was trained on these very rows."


def test_unlabelled_rows_do_not_hide_what_a_checkpoint_was_trained_from() -> None:
    data = source(train=rows(100))
    task = make_task(data, 7)
    further = replace(task, unlabelled=without_labels(("more", "still more"), None, "classification"))
    assert Provenance.of(further) == Provenance.of(task)
    assert pick(data, made=Provenance.of(further)).split == "test"
    assert Provenance.of(replace(task, seed=None)) is None


def test_rows_that_the_checkpoint_has_seen_are_counted() -> None:
    data = source(train=rows(100))
    made = made_of(data, 7)
    seen = set(make_task(data, 7).train.text_a)
    other = pick(data, "test", 8, made)
    n_seen = len(seen & set(other.rows.text_a))
    assert n_seen > 0
    assert other.notes[-1].startswith(f"{n_seen} of these 25 rows are among those the checkpoint was trained on (its")
    assert pick(data, "all", made=made).notes == (
        "50 of these 100 rows are among those the checkpoint was trained on.",
    )


def test_other_data_say_that_nothing_is_known() -> None:
    made = made_of(source(train=rows(100)), 7)
    other = source(train=rows(101))
    assert (pick(other, made=made).split, pick(other, made=made).notes) == ("all", ())
    two = source(train=rows(60), test=rows(9, 200))
    carved = pick(two, "valid", made=made)
    assert carved.seed == 7
    assert "trained from others ('toy', seed 7): it may have seen" in carved.notes[-1]
    assert "trained from unknown data: it may have seen" in pick(two, "valid").notes[-1]


def test_the_metric_of_the_study_counts_first_for_its_own_data_only() -> None:
    data = Source("toy", {"train": rows(100)}, metric="matthews")
    made = Provenance("toy", 0, made_of(data, 0).content, "macro_f1")
    assert pick(data, made=made).metrics == ("macro_f1", "matthews")
    other = Source("toy", {"train": rows(90)}, metric="matthews")
    assert pick(other, made=made).metrics == ("matthews", "macro_f1")


def test_provenance_survives_its_json_and_nothing_else_does() -> None:
    made = made_of(source(train=rows(100)), 7)
    assert Provenance.from_json(made.to_json()) == made
    for wrong in (None, 3, {}, {"seed": "0"}, {**made.to_json(), "content": 5}):
        assert Provenance.from_json(wrong) is None


def test_of_a_graph_the_test_nodes_are_scored_and_own_ones_are_told() -> None:
    task = tiny_graph()
    made = Provenance.of(task)
    assert made is not None
    found = pick_nodes(task)
    assert isinstance(found.rows, LabelledNodes)
    assert (found.split, found.seed, found.metrics, found.notes) == ("test", None, ("accuracy",), ())
    assert found.rows.typed([int(label) for label in found.rows.labels]) == task.test
    assert found.labels == found.classes == task.label_names
    n_train, n_rows = len(task.train), len(task.train) + len(task.valid) + len(task.test)
    notes = [pick_nodes(task, split, made).notes for split in ("valid", "train", "all")]
    assert notes[:2] == [(), ("the checkpoint was trained on these very rows.",)]
    assert notes[2] == (f"{n_train} of these {n_rows} rows are among those the checkpoint was trained on.",)
    assert pick_nodes(task, "train", replace(made, content="other")).notes == ()
    assert pick_nodes(task, made=replace(made, metric="macro_f1")).metrics == ("macro_f1", "accuracy")
    assert pick_nodes(task, metric="macro_f1").metric == "macro_f1"
    with pytest.raises(UsageError, match="a split is one of train, valid, test, all"):
        pick_nodes(task, "dev")
