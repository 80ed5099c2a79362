"""Spaces decode, encode, count and list what they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.core.errors import SpecError
from autokd.core.holes import Choice, Hole
from autokd.space import Space

TEXT = """
stages:
  - {use: a:Teacher, model: {name: teacher, pick: [small, large]}, epochs: 4}
  - name: student
    pick:
      cut: {use: a:Cut, keep: {name: keep, low: 1, high: 4}, take: {name: take, pick: [even, first]}}
      load: {use: a:Load}
  - name: sparse
    pick:
      none: []
      stark: [{use: a:Distil}, {use: b:Sparsify, share: {name: share, low: 0.1, high: 0.6}}, {use: a:Rewind}]
  - order: {name: order}
    of:
      thin: {use: a:Thin, by: {name: by, low: 0.25, high: 0.75}}
      distil:
        use: a:Distil
        objectives:
          - {use: a:Logits}
          - {name: extra, pick: {none: [], hidden: {use: a:Hidden}, both: [{use: a:Hidden}, {use: b:Info}]}}
        hooks: {name: hooks, pick: {none: [], prune: [{use: a:Prune}]}}
        options: {deep: [1, {name: deep, pick: [2, 2.5, true, null, text]}]}
        optimizer: {use: a:Adam, lr: {name: lr, low: 0.00001, high: 0.001, log: true}}
form: {name: form, pick: [float32, int8]}
"""

# Defaults that the space names (Cut.keep), leaves out (Cut.note), and has inside other methods (Distil.optimizer).
DEFAULTS: dict[str, dict[str, Any]] = {
    "a:Teacher": {"model": "small", "epochs": 3, "optimizer": {"use": "a:Adam"}},
    "a:Cut": {"keep": 2, "take": "even", "note": ""},
    "a:Distil": {"objectives": [{"use": "a:Logits"}], "hooks": [], "options": {}, "optimizer": {"use": "a:Adam"}},
    "a:Logits": {"temperature": 2.0},
    "a:Adam": {"lr": 0.0001, "decay": 0.0},
}


def defaults(use: str) -> dict[str, Any]:
    return DEFAULTS.get(use, {})


def fill(value: Any) -> Any:
    """A pipeline with the defaults written out."""
    if isinstance(value, dict):
        known = DEFAULTS.get(value.get("use", ""), {})
        return {key: fill(inner) for key, inner in {**known, **value}.items()}
    return [fill(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.parse(TEXT, "test")


@st.composite
def assignments(draw: st.DrawFn) -> dict[str, Any]:
    def choose(hole: Hole) -> Any:
        if isinstance(hole, Choice):
            return draw(st.sampled_from(hole.options))
        if hole.integer:
            return draw(st.integers(int(hole.low), int(hole.high)))
        return draw(st.floats(hole.low, hole.high))

    return Space.parse(TEXT, "test").sample(choose)


@settings(max_examples=60, deadline=None)
@given(params=assignments())
def test_encode_inverts_decode(params: dict[str, Any]) -> None:
    space = Space.parse(TEXT, "test")
    pipeline = space.decode(params)
    assert space.encode(pipeline, defaults) == params
    assert space.encode(fill(pipeline), defaults) == params, "a pipeline with its defaults written out is the same"


def first(hole: Hole) -> Any:
    return hole.options[0] if isinstance(hole, Choice) else hole.low


def test_decode_splices_lists_and_orders(space: Space) -> None:
    params = space.sample(first) | {"sparse": "stark", "share": 0.5, "order": "distil>thin", "extra": "both"}
    pipeline = space.decode(params)
    assert [stage["use"] for stage in pipeline["stages"]] == [
        "a:Teacher",
        "a:Cut",
        "a:Distil",
        "b:Sparsify",
        "a:Rewind",
        "a:Distil",
        "a:Thin",
    ]
    distil = pipeline["stages"][5]
    assert [objective["use"] for objective in distil["objectives"]] == ["a:Logits", "a:Hidden", "b:Info"]
    assert distil["hooks"] == []
    assert pipeline["form"] == "float32"


def test_only_active_parameters_count(space: Space) -> None:
    params = space.sample(lambda hole: "load" if hole.name == "student" else first(hole))
    assert "keep" not in params
    assert "keep" not in space.active({**params, "keep": 3})
    with pytest.raises(SpecError, match="'keep' is not active"):
        space.decode({**params, "keep": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": None}, "'lr' is missing"),
        ({"lr": 1.0}, "'lr' must be a number from 1e-05 to 0.001, but got 1.0"),
        ({"keep": 2.5}, "'keep' must be a whole number from 1 to 4"),
        ({"take": "last"}, "'take' must be one of 'even', 'first', but got 'last'"),
        ({"deep": 1}, "'deep' must be one of 2, 2.5, True, None, 'text', but got 1"),
        ({"lrr": 0.1}, "unknown parameter of the space 'test' 'lrr'. Did you mean 'lr'"),
    ],
)
def test_decode_refuses(space: Space, change: dict[str, Any], message: str) -> None:
    params = {**space.sample(first), **change}
    if change.get("lr", 0) is None:
        del params["lr"]
    with pytest.raises(SpecError) as caught:
        space.decode(params)
    assert message in str(caught.value)


def test_one_is_not_true(space: Space) -> None:
    pipeline = space.decode({**space.sample(first), "deep": True})
    assert space.encode(pipeline, defaults) is not None
    pipeline["stages"][3]["options"]["deep"][1] = 1
    assert space.encode(pipeline, defaults) is None


def test_encode_of_pipelines_outside_is_none(space: Space) -> None:
    pipeline = space.decode(space.sample(first))
    assert space.encode(pipeline, defaults) is not None
    for path, value in [
        (("form",), "onnx"),
        (("stages", 0, "epochs"), 5),
        (("stages", 1, "note"), "changed"),
        (("stages", 1, "unheard"), 1),
        (("stages", 2, "by"), 0.9),
        (("stages",), pipeline["stages"][:-1]),
    ]:
        changed = fill(pipeline)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert space.encode(changed, defaults) is None, path


def test_encode_takes_the_first_in_text_order() -> None:
    text = """
    stages:
      - name: way
        pick:
          bare: {use: a:Cut}
          open: {use: a:Cut, keep: {name: keep, pick: [1, 2]}}
    """
    space = Space.parse(text, "twice")
    assert space.encode({"stages": [{"use": "a:Cut", "keep": 2}]}, defaults) == {"way": "bare"}
    assert space.encode({"stages": [{"use": "a:Cut", "keep": 1}]}, defaults) == {"way": "open", "keep": 1}


def test_size_counts_what_walk_lists() -> None:
    text = """
    stages:
      - {name: a, pick: {x: {use: m:A, n: {name: n, low: 1, high: 2}}, y: [], z: [{use: m:B}, {use: m:C}]}}
      - {order: {name: o}, of: {p: {use: m:P}, q: {use: m:Q, k: {name: k, pick: [u, v, w]}}}}
    """
    space = Space.parse(text, "finite")
    listed = list(space.walk())
    assert space.size() == (2 + 1 + 1) * 2 * 3 == len(listed)
    assert len({tuple(params.items()) for params in listed}) == len(listed)
    assert all(space.encode(space.decode(params), defaults) == params for params in listed)


def test_size_of_a_continuous_space_is_unknown(space: Space) -> None:
    assert space.size() is None


def test_examples_take_every_option(space: Space) -> None:
    found = {(name, repr(option)) for name, option, params in space.examples() if params[name] is option}
    wanted = {(h.name, repr(o)) for h in space.holes if isinstance(h, Choice) for o in h.options}
    assert found == wanted
    for _, _, params in space.examples():
        space.decode(params)


def test_uses_and_holes(space: Space) -> None:
    assert {"a:Teacher", "b:Info", "a:Adam", "b:Sparsify"} <= space.uses()
    names = [hole.name for hole in space.holes]
    assert names[:4] == ["teacher", "student", "keep", "take"]
    assert len(names) == len(set(names))
