"""Proposals are legal, new, reproducible, learn from the search's own trials, and never change a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from autokd.core.canonical import canonical
from autokd.core.holes import Choice, Hole
from autokd.core.record import TrialRecord
from autokd.recommend import propose
from autokd.recommend.proposals import MAX_HISTORY, history
from autokd.space import Space

TEXT = """
stages:
  - name: student
    pick:
      cut: {use: a:Cut, keep: {name: keep, low: 1, high: 6}}
      load: {use: a:Load, width: {name: width, pick: [128, 256, null]}}
  - {use: a:Distil, lr: {name: lr, low: 0.00001, high: 0.01, log: true}, mode: {name: mode, pick: [a, b, c, d]}}
"""
SMALL = "stages: [{use: a:A, x: {name: x, pick: [1, 2, 3]}, y: {name: y, pick: [u, v]}}]"
OBJECTIVES = ("score", "macs")


@pytest.fixture
def space() -> Space:
    return Space.parse(TEXT, "test")


def anything(params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> bool:
    return True


def record(number: int, params: Mapping[str, Any], **changes: Any) -> TrialRecord:
    score = (2.0 if params.get("mode") == "b" else 0.0) - abs(np.log10(params.get("lr", 1.0)) + 3)
    values = {"valid_score": float(score), "macs": float(params.get("keep", 1))}
    fields: dict[str, Any] = {"state": "complete", "role": "search", "values": values, **changes}
    return TrialRecord(number, pipeline={}, params=params, **fields)


def tried(space: Space, n_trials: int) -> list[TrialRecord]:
    draw = np.random.default_rng(1)

    def choose(hole: Hole) -> Any:
        if isinstance(hole, Choice):
            return hole.options[draw.integers(len(hole.options))]
        if hole.integer:
            return int(draw.integers(int(hole.low), int(hole.high) + 1))
        return float(np.exp(draw.uniform(np.log(hole.low), np.log(hole.high))))

    return [record(number, space.sample(choose)) for number in range(n_trials)]


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("n_trials", [0, 3, 30])
def test_proposals_decode_and_are_reproducible(space: Space, random: bool, n_trials: int) -> None:
    records = tried(space, n_trials)
    first = propose(space, records, OBJECTIVES, (), 7, anything, random)
    assert first is not None
    space.decode(first)
    assert propose(space, records, OBJECTIVES, (), 7, anything, random) == first
    others = [propose(space, records, OBJECTIVES, (), seed, anything, random) for seed in (8, 2**62)]
    assert any(other != first for other in others)


def test_the_sampler_learns_and_the_random_arm_does_not(space: Space) -> None:
    records = tried(space, 60)
    modes = {}
    for random in (False, True):
        drawn = [propose(space, records, ("score",), (), seed, anything, random) for seed in range(40)]
        modes[random] = sum(params is not None and params["mode"] == "b" for params in drawn)
    assert modes[False] >= 25, "most proposals take the mode that won"
    assert modes[True] <= 20


def test_infeasible_regions_are_left(space: Space) -> None:
    deep = {}
    for constraints in ((), ("macs>=5",)):
        drawn = [propose(space, tried(space, 60), ("score",), constraints, seed, anything) for seed in range(30)]
        deep[constraints] = sum(params is not None and params.get("keep", 0) >= 5 for params in drawn)
    assert deep["macs>=5",] >= 20, "most proposals keep the constraint"
    assert deep[()] <= 10


def test_refused_draws_are_drawn_again_until_one_is_left() -> None:
    space = Space.parse(SMALL, "small")
    seen: set[str] = set()

    def new(params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> bool:
        return canonical(pipeline) not in seen

    found: list[TrialRecord] = []
    for number in range(6):
        params = propose(space, found, OBJECTIVES, (), 0, new)
        assert params is not None
        seen.add(canonical(space.decode(params)))
        found.append(record(number, params))
    assert len(seen) == space.size() == 6
    assert propose(space, found, OBJECTIVES, (), 0, new) is None
    assert propose(space, found, OBJECTIVES, (), 0, new, random=True) is None


def test_one_legal_pipeline_among_thousands_is_found_by_listing() -> None:
    holes = ", ".join(f"f{i}: {{name: h{i}, pick: [0, 1]}}" for i in range(12))
    space = Space.parse(f"stages: [{{use: a:A, {holes}}}]", "wide")
    wanted = {f"h{i}": int(i in (4, 11)) for i in range(12)}
    assert propose(space, [], OBJECTIVES, (), 3, lambda params, _: dict(params) == wanted) == wanted


def test_what_a_sampler_learns_from(space: Space) -> None:
    params = {"student": "load", "width": None, "lr": 1e-3, "mode": "a"}
    point = {"stage": 1, "step": 9, "score": 0.75, "seconds": 1.0}
    known = {"macs": 5.0}
    records = [
        record(0, params),
        record(1, params, role="control"),
        record(2, params, role="confirm"),
        record(3, {}, role="imported"),
        record(4, params, role="imported"),
        record(5, params, state="failed"),
        record(6, params, state="paused", values=known, curve=(point,)),
        record(7, params, state="pruned", values=known, curve=({**point, "score": 0.5},)),
        record(8, params, state="pruned", values={}, curve=(point,)),
        record(9, params, state="running", values={}),
        record(10, params, state="paused", values={}),
        record(11, {**params, "mode": "gone"}),
        record(12, {**params, "unheard": 1}),
    ]
    trials = history(space, records, OBJECTIVES, ())
    scores = [trial.values[0] for trial in trials if trial.values is not None]
    assert scores == [0.0, 0.0, 0.75, 0.5]
    assert [trial.state.name for trial in trials].count("RUNNING") == 2
    assert len(trials) == 6


def test_the_history_is_bounded_and_keeps_the_frontier(space: Space) -> None:
    records = tried(space, MAX_HISTORY + 60)
    best = record(0, records[0].params, values={"valid_score": 99.0, "macs": 0.5})
    trials = history(space, [best, *records[1:]], OBJECTIVES, ())
    assert len(trials) == MAX_HISTORY
    assert trials[0].values == [99.0, 0.5]
    newest = records[-1]
    assert trials[-1].values == [newest.values["valid_score"], newest.values["macs"]]


def test_distributions_hold_every_option_whatever_is_masked(space: Space) -> None:
    def only_b(params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> bool:
        return bool(params["mode"] == "b")

    params = propose(space, tried(space, 20), OBJECTIVES, (), 1, only_b)
    assert params is not None
    assert params["mode"] == "b"
    for trial in history(space, tried(space, 20), OBJECTIVES, ()):
        assert trial.distributions["mode"].choices == ("a", "b", "c", "d")  # type: ignore[attr-defined]
