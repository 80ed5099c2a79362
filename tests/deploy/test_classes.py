"""Labels of data and outputs of a model: which is which, or an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import DataError
from autokd.deploy.classes import Classes, match_classes

FOLDER = Path("model")


def match(own: tuple[str, ...], labels: tuple[str, ...], numbered: tuple[str, ...] = ()) -> Classes:
    return match_classes(own, labels, numbered, "mine", FOLDER)


def outputs(found: Classes) -> dict[str, int]:
    """Which of the model's logits each label of the data is judged by."""
    return {label: found.columns[i] for label, i in found.ids.items()}


@pytest.mark.parametrize(
    ("own", "labels", "numbered", "wanted", "how"),
    [
        (("good", "bad"), ("bad", "good"), (), {"bad": 1, "good": 0}, ""),
        (("good", "bad", "so so"), ("bad",), (), {"bad": 1}, ""),
        (("LABEL_1", "LABEL_0"), ("LABEL_0", "LABEL_1"), (), {"LABEL_0": 1, "LABEL_1": 0}, ""),
        (("1", "0"), ("0", "1"), (), {"0": 1, "1": 0}, ""),
        (("NEGATIVE", "POSITIVE"), ("negative", "positive"), (), {"negative": 0, "positive": 1}, "whatever their case"),
        (("LABEL_0", "LABEL_1"), ("1",), (), {"1": 1}, "by number: 1 = LABEL_1."),
        (("NEGATIVE", "POSITIVE"), ("0", "1"), (), {"0": 0, "1": 1}, "by number: 0 = NEGATIVE, 1 = POSITIVE."),
        (("LABEL_0", "LABEL_1"), ("no", "yes"), (), {"no": 0, "yes": 1}, "in sorted order"),
        (("LABEL_0", "LABEL_1"), ("1", "2"), (), {"1": 0, "2": 1}, "in sorted order"),
        (("LABEL_0", "LABEL_1"), ("pos",), ("pos", "neg"), {"neg": 1, "pos": 0}, "in which the data number them"),
        (("LABEL_0", "LABEL_1"), ("neg", "pos"), ("pos", "neg"), {"neg": 1, "pos": 0}, "neg = LABEL_1, pos = LABEL_0."),
    ],
)
def test_each_label_has_its_output(
    own: tuple[str, ...], labels: tuple[str, ...], numbered: tuple[str, ...], wanted: dict[str, int], how: str
) -> None:
    found = match(own, labels, numbered)
    assert outputs(found) == wanted
    assert sorted(found.columns) == list(range(len(own)))
    assert how in found.note
    assert bool(found.note) == bool(how)


def test_classes_stand_in_the_order_of_their_names_as_in_a_task() -> None:
    """So that the positive class of F1 is the same, whatever order the model has and whichever rows are scored."""
    assert match(("yes", "no"), ("no",)).names == match(("no", "yes"), ("no", "yes")).names == ("no", "yes")
    assert match(("LABEL_0", "LABEL_1"), ("no", "yes")).names == ("no", "yes")


@pytest.mark.parametrize(
    ("own", "labels", "message"),
    [
        (("good", "bad"), ("bad", "great"), "classes that it knows, but 'mine' has great and 'model' has good, bad"),
        (("good", "bad"), ("1", "2"), "'mine' has 1, 2 and"),
        (("1", "2", "3"), ("0", "1"), "'mine' has 0 and"),
        (("anger", "joy", "sadness"), ("0", "1"), "'mine' has 0, 1 and"),
        (("Good", "good"), ("GOOD",), "'mine' has GOOD"),
        (("good", "good"), ("good",), "'model' has good, good"),
        (("LABEL_0", "LABEL_1"), ("yes",), "as many labels, but 'mine' has yes .* id2label in 'model/config.json'"),
        (("LABEL_0", "LABEL_1"), ("a", "b", "c"), "'mine' has a, b, c and 'model' has LABEL_0, LABEL_1"),
    ],
)
def test_what_matches_nothing_is_an_error(own: tuple[str, ...], labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match(own, labels)
