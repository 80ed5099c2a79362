from __future__ import annotations

from collections import Counter

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.core.seeds import Seeds
from autokd.tasks.splits import Labelled, Source, carve, held_out_size, make_task


def rows(n: int, start: int = 0, labels: tuple[str, ...] = ("no", "yes")) -> Labelled:
    """``n`` different texts whose labels take turns."""
    numbers = range(start, start + n)
    return Labelled(tuple(f"text {i}" for i in numbers), None, tuple(labels[i % len(labels)] for i in numbers))


def source(**splits: Labelled) -> Source:
    return Source("toy", splits)


def test_three_splits_are_used_as_they_are() -> None:
    task = make_task(source(train=rows(30), valid=rows(10, 100), test=rows(12, 200)), seed=0)
    assert task.train.text_a == rows(30).text_a
    assert (task.valid.text_a, task.test.text_a) == (rows(10, 100).text_a, rows(12, 200).text_a)
    assert (task.metric, task.problem, task.notes) == ("accuracy", "classification", ())
    assert make_task(source(train=rows(30), valid=rows(10, 100), test=rows(12, 200)), seed=1) == task


@pytest.mark.parametrize("second", ["valid", "test"])
def test_of_two_splits_the_second_is_the_test_and_validation_is_carved(second: str) -> None:
    task = make_task(source(train=rows(400), **{second: rows(50, 1000)}), seed=0)
    assert task.test.text_a == rows(50, 1000).text_a
    assert (len(task.train), len(task.valid)) == (300, 100)
    assert sorted(task.train.text_a + task.valid.text_a) == sorted(rows(400).text_a)
    assert task.notes == ("valid: 100 rows carved from train, stratified.",)
    assert task.seed == 0
    assert make_task(source(train=rows(400), **{second: rows(50, 1000)}), seed=5).seed == 5


def test_of_one_split_both_are_carved() -> None:
    task = make_task(source(train=rows(3000)), seed=0)
    assert (len(task.train), len(task.valid), len(task.test)) == (2400, 300, 300)
    parts = (set(task.train.text_a), set(task.valid.text_a), set(task.test.text_a))
    assert len(set.union(*parts)) == 3000
    assert len(task.notes) == 2


@pytest.mark.parametrize(("n_rows", "size"), [(40, 10), (250, 62), (1000, 200), (8551, 855), (67_349, 2000)])
def test_held_out_size(n_rows: int, size: int) -> None:
    assert held_out_size(n_rows) == size


def test_carving_is_stratified() -> None:
    part = Labelled(tuple(f"text {i}" for i in range(1000)), None, ("rare",) * 50 + ("some",) * 250 + ("most",) * 700)
    rest, carved = carve(part, 200, Seeds(0), "valid")
    counts = Counter(carved.labels)
    assert len(carved) == 200
    assert {label: abs(counts[label] - share) <= 1 for label, share in (("rare", 10), ("some", 50), ("most", 140))} == {
        "rare": True,
        "some": True,
        "most": True,
    }
    assert len(rest) == 800


def test_carving_leaves_every_class_in_the_rest() -> None:
    part = Labelled(tuple(f"text {i}" for i in range(60)), None, ("common",) * 56 + ("a", "b", "c", "c"))
    rest, carved = carve(part, 40, Seeds(0), "valid")
    assert set(rest.labels) == {"common", "a", "b", "c"}
    assert len(carved) == 40


def test_regression_is_stratified_by_rank() -> None:
    values = [i / 7 for i in range(700)]
    part = Labelled(tuple(f"text {i}" for i in range(700)), None, tuple(map(str, values)))
    _, carved = carve(part, 70, Seeds(0), "valid")
    assert sorted(int(float(label) * 7 // 10 + 0.5) for label in carved.labels) == pytest.approx(range(70), abs=1)


def test_rows_with_equal_texts_stay_together() -> None:
    part = Labelled(tuple(f"text {i % 100}" for i in range(400)), None, ("no", "yes") * 200)
    rest, carved = carve(part, 100, Seeds(0), "valid")
    assert not set(rest.text_a) & set(carved.text_a)
    assert len(carved) == 400 - len(rest)
    assert len(carved) > 0


def test_carving_depends_on_the_seed_alone() -> None:
    first, again, other = (make_task(source(train=rows(400)), seed=seed) for seed in (1, 1, 2))
    assert first.content == again.content != other.content


def test_class_ids_follow_the_sorted_labels() -> None:
    task = make_task(source(train=rows(30, labels=("b", "a", "c"))), seed=0)
    assert task.label_names == ("a", "b", "c")
    everything = task.train.plus(task.valid).plus(task.test)
    ids = dict(zip(everything.text_a, everything.labels, strict=True))
    assert (ids["text 0"], ids["text 1"], ids["text 2"]) == (1, 0, 2)


def test_whole_numbers_are_classes_and_others_values() -> None:
    classes = make_task(source(train=rows(40, labels=("0", "1", "2"))), seed=0)
    values = make_task(source(train=rows(40, labels=("0", "1", "2.5"))), seed=0)
    assert (classes.problem, classes.n_outputs, classes.metric) == ("classification", 3, "accuracy")
    assert (values.problem, values.n_outputs, values.metric) == ("regression", 1, "pearson_spearman")
    assert set(values.train.labels) == {0.0, 1.0, 2.5}


def test_a_regression_metric_makes_whole_numbers_values() -> None:
    task = make_task(source(train=rows(40, labels=("0", "1", "2"))), seed=0, metric="spearman")
    assert (task.problem, task.metric) == ("regression", "spearman")


def test_imbalance_asks_for_macro_f1() -> None:
    balanced = Labelled(tuple(f"text {i}" for i in range(40)), None, ("a",) * 30 + ("b",) * 10)
    skewed = Labelled(tuple(f"text {i}" for i in range(41)), None, ("a",) * 31 + ("b",) * 10)
    held = rows(10, 100, ("a", "b"))
    assert make_task(source(train=balanced, valid=held, test=held), 0).metric == "accuracy"
    found = make_task(source(train=skewed, valid=held, test=held), 0)
    assert found.metric == "macro_f1"
    assert any(note.startswith("the largest class of train has 3.1 times as many rows") for note in found.notes)
    asked = make_task(source(train=skewed, valid=held, test=held), 0, metric="macro_f1")
    assert not any("largest class" in note for note in asked.notes)


def test_f1_says_what_it_counts_as_positive() -> None:
    task = make_task(source(train=rows(40)), seed=0, metric="f1")
    assert "f1 counts 'yes' as the positive class." in task.notes


def test_the_data_sets_own_metric_yields_to_the_users() -> None:
    own = Source("toy", {"train": rows(40)}, metric="f1")
    assert make_task(own, seed=0).metric == "f1"
    assert make_task(own, seed=0, metric="matthews").metric == "matthews"


def test_rows_that_occur_twice_are_noted() -> None:
    task = make_task(source(train=rows(30), valid=rows(10, 100), test=rows(12, 25)), seed=0)
    assert task.notes == ("5 of 12 test rows also occur in train, word for word.",)


def test_rows_without_text_are_left_out_and_noted() -> None:
    train = Labelled((*rows(30).text_a, " "), None, (*rows(30).labels, "yes"))
    task = make_task(source(train=train, valid=rows(10, 100), test=rows(12, 200)), seed=0)
    assert len(task.train) == 30
    assert task.notes == ("1 rows without any text were left out.",)


def test_texts_that_are_all_empty_say_so() -> None:
    empty = Labelled(("",) * 40, None, ("no", "yes") * 20)
    with pytest.raises(DataError, match=r"but got: train 0\. 40 rows without any text were left out\."):
        make_task(source(train=empty), seed=0)


def test_a_label_that_train_lacks_is_refused() -> None:
    splits = source(train=rows(30), valid=rows(10, 100), test=rows(12, 200, ("no", "maybe")))
    with pytest.raises(DataError, match="test of 'toy' has 6 rows of maybe; train has no, yes"):
        make_task(splits, seed=0)


def test_hundreds_of_classes_work_and_carving_keeps_each_of_them_in_train() -> None:
    task = make_task(source(train=rows(1500, labels=tuple(f"class {i}" for i in range(500)))), seed=0)
    assert task.n_outputs == 500
    assert set(task.train.labels) == set(range(500))


def test_a_list_of_many_labels_is_cut_short() -> None:
    many = rows(60, 200, tuple(f"new {i}" for i in range(30)))
    with pytest.raises(DataError, match=r"new 0, new 1, new 10, .* and 20 more; train has no, yes\.$"):
        make_task(source(train=rows(100), valid=rows(10, 100), test=many), seed=0)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": rows(10)}, "20 labelled rows in all, but got: train 10"),
        ({"test": rows(40)}, "needs a train split"),
        ({"train": rows(40, labels=("one",))}, "at least 2 classes, but 'toy' has only one"),
        ({"train": rows(40, labels=tuple(f"l{i}" for i in range(30)))}, "30 different labels in 40 rows"),
        ({"train": rows(40), "valid": rows(0), "test": rows(5, 50)}, "have none: valid"),
    ],
)
def test_what_is_no_task_is_one_clear_error(splits: dict[str, Labelled], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_task(source(**splits), seed=0)


def test_words_are_no_regression_labels() -> None:
    with pytest.raises(UsageError, match="the metric 'pearson' is one of numbers, but 'toy' has the label 'no'"):
        make_task(source(train=rows(40)), seed=0, metric="pearson")


def test_a_metric_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="'f1' does not fit classification with 3 classes"):
        make_task(source(train=rows(40, labels=("a", "b", "c"))), seed=0, metric="f1")
