"""What a space's YAML must not say is refused with the place and the rule."""

from __future__ import annotations

import pytest

from autokd.core.errors import SpecError
from autokd.core.holes import Range
from autokd.space import Space, with_options


def message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        Space.parse(text, "mine")
    return str(caught.value)


def stage(field: str) -> str:
    return f"stages:\n  - use: a:B\n    {field}\n"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("lr: 1e-5", "line 3: YAML reads '1e-5' as a text; write a number with a point and a signed exponent (1.0e-5)"),
        ("lr: 15e6", "(15.0e+6)"),
        ("lr: 3.0e5", "(3.0e+5)"),
        ("mode: off", "line 3: 'off' means a truth value"),
        ("x: {on: 1}", "a key must be a text, but got 'on'"),
        ("x: {1: 1}", "a key must be a text, but got '1'"),
        ("x: 012", "plain decimal one, but got '012'"),
        ("x: 1:30", "plain decimal one, but got '1:30'"),
        ("x: .nan", "plain decimal one, but got '.nan'"),
        ("x: 2024-01-01", "would be read as a timestamp"),
        ("x: {a: 1, a: 2}", "line 3: the key 'a' stands twice"),
        ("x: {pick: [1, 2]}", "a hole needs a name"),
        ("x: {name: h, pick: [1, 1.0]}", "options must differ, but 1 and 1.0 are equal"),
        ("x: {name: h, pick: [1, true]}", "options must differ, but 1 and True are equal"),
        ("x: {name: h, pick: {on: 1, b: 2}}", "a key must be a text, but got 'on'; put it in quotes"),
        ("x: {name: h, pick: []}", "a pick needs at least one option"),
        ("x: {name: h, pick: 3}", "'pick' is a list or a mapping of options, but got 3"),
        ("x: {name: h, pick: [{a: 1}]}", "options that are not plain values need names"),
        ("x: {name: h, pick: [1], log: true}", "unknown key of a hole 'log'"),
        ("x: {name: h, low: 1}", "a range needs the numbers low and high"),
        ("x: {name: h, low: 2, high: 1}", "low must be below high, but got low 2 and high 1"),
        ("x: {name: h, low: 0, high: 1, log: true}", "and above zero"),
        ("x: {name: h, low: 0, high: 1, log: 1}", "'log' is true or false, but got 1"),
        ("x: {name: h, low: true, high: 2}", "a range needs the numbers"),
        ("x: {name: 7, low: 0, high: 1}", "a hole is named with letters"),
        ("x: {name: h, pick: {a>b: 1}}", "an option is named with letters"),
        ("x: {order: {name: o}, of: {a: 1, b: 2}}", "an order can only stand in a list"),
        ("x: [{name: h, pick: {a: null, b: 1}}]", "an empty option of a list is written []"),
        ("x: {use: wrong}", "'use' is an address of the form module:Class, but got 'wrong'"),
        ("x: &a [*a]", "an anchor must not hold itself"),
        ("x: [1", "not YAML"),
    ],
)
def test_refused_fields(field: str, expected: str) -> None:
    assert expected in message(stage(field))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("[]", "a mapping with a list 'stages'"),
        ("stages: []", "a mapping with a list 'stages'"),
        ("stages: [{use: a:B}]\nsize: 3", "unknown part of a space 'size'"),
        ("stages: [{use: a:B}]\nform: 3", "form must be a text"),
        ("stages: [a:B]", "a stage is a method with 'use', a pick or an order, but got 'a:B'"),
        ("stages: [{name: h, pick: [a, b]}]", "options that are not plain values need names"),
        ("stages: [{name: h, low: 0, high: 1}]", "a stage cannot be a number"),
        ("stages: [{name: h, pick: {a: [3]}}]", "a stage is a method with 'use'"),
        ("stages: [{order: {name: o}, of: {a: {use: a:B}}}]", "an order is of 2 to 5 items, but got 1"),
        ("stages: [{order: o, of: {a: {use: a:B}, b: []}}]", "an order has the form"),
        (
            "stages:\n  - {use: a:B, x: {name: h, pick: [1, 2]}}\n  - {use: a:B, y: {name: h, pick: [1]}}",
            "names of holes are unique, but 'h' stands at stages[0].x too",
        ),
        ("stages: [{use: a:B}]\n---\nstages: []", "not YAML"),
    ],
)
def test_refused_spaces(text: str, expected: str) -> None:
    assert expected in message(text)


def test_quotes_say_that_a_text_is_meant() -> None:
    space = Space.parse(stage("x: ['1e-5', \"off\", '012', plain, 1.0e-5, -3, 1_000, true]"), "mine")
    assert space.decode({})["stages"][0]["x"] == ["1e-5", "off", "012", "plain", 1e-5, -3, 1000, True]


def test_names_of_fields_may_be_those_of_holes() -> None:
    space = Space.parse(stage("low: 1\n    name: n\n    pick: p\n    order: o"), "mine")
    assert space.decode({})["stages"] == [{"use": "a:B", "low": 1, "name": "n", "pick": "p", "order": "o"}]
    assert space.holes == ()


def test_whole_ends_make_a_whole_number() -> None:
    text = "stages:\n  - {use: a:B, x: {name: x, low: 1, high: 3}, y: {name: y, low: 1, high: 3.0}}"
    assert Space.parse(text, "mine").holes == (Range("x", 1, 3, integer=True), Range("y", 1.0, 3.0))


@pytest.mark.parametrize("listed", ["[auto]  # why", "\n        - auto # why\n        - other\n"])
def test_with_options_changes_one_list_and_nothing_else(listed: str) -> None:
    text = f"# head\nstages:\n  - use: a:B\n    x:\n      name: teacher\n      pick: {listed}\n    y: 3 # tail\n"
    changed = with_options(text, "teacher", ["org/one", "two"])
    space = Space.parse(changed, "mine")
    assert [hole.options for hole in space.holes] == [("org/one", "two")]  # type: ignore[union-attr]
    assert space.decode({"teacher": "two"})["stages"] == [{"use": "a:B", "x": "two", "y": 3}]
    assert "# head" in changed
    assert "# tail" in changed
    assert with_options(text, "student", ["x"]) == text
