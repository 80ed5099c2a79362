"""Timing in turns: bounded, side by side, and of the calls that were asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest

from autokd.contracts import Rows
from autokd.core.errors import UsageError
from autokd.deploy.latency import Timing, calmer, disturbed, measure


class Sleeper:
    """A model whose calls take a fixed time, and which notes them."""

    name, threads, vocabulary, positions, token_types, pad_id = "sleeper", 1, 50, 64, 2, 0
    names = ("input_ids",)

    def __init__(self, milliseconds: float, log: list[str], mark: str) -> None:
        self.milliseconds, self.log, self.mark = milliseconds, log, mark
        self.shapes: set[tuple[int, ...]] = set()

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        self.log.append(self.mark)
        self.shapes.add(inputs["input_ids"].shape)
        assert inputs["input_ids"].max() < self.vocabulary
        time.sleep(self.milliseconds / 1000)
        return np.zeros((1, 2), dtype=np.float32)

    def logits(self, rows: Rows, batch_size: int | None = None) -> np.ndarray:
        raise NotImplementedError


def test_candidates_take_turns_and_differ_as_they_should() -> None:
    log: list[str] = []
    candidates = {"fast": Sleeper(1, log, "f"), "slow": Sleeper(4, log, "s")}
    times = measure(candidates, batch=3, length=17, seconds=0.2)
    assert 1 <= times["fast"].median_ms < 4 <= times["slow"].median_ms
    assert times["fast"].p90_ms >= times["fast"].median_ms
    assert times["fast"].repeats == times["slow"].repeats >= 6
    assert candidates["fast"].shapes == {(3, 17)}
    turns = "".join(log[6:])  # after warming up
    assert turns.count("ffff") == turns.count("ssss") == len(turns) / 8
    assert "f" * 9 not in turns  # never the same candidate in all of the turns


def test_the_whole_call_is_bounded_but_never_without_repeats() -> None:
    candidates = {"one": Sleeper(10, [], "a")}
    start = time.perf_counter()
    times = measure(candidates, batch=1, length=4, seconds=0.0)
    assert times["one"].repeats == 6
    assert time.perf_counter() - start < 5


def test_rows_longer_than_a_model_reads_are_refused() -> None:
    with pytest.raises(UsageError, match="teacher reads at most 64 tokens, but latency is asked at 65"):
        measure({"teacher": Sleeper(0, [], "t")}, batch=1, length=65)


def test_calls_that_differ_too_much_are_told_and_of_two_measurements_the_calmer_is_kept() -> None:
    calm = {"student": Timing(7.3, 8.0, 30), "teacher": Timing(31.4, 40.0, 30)}
    busy = {"student": Timing(7.3, 29.7, 6), "teacher": Timing(150.4, 160.0, 6)}
    assert disturbed(calm) == ()
    assert disturbed(busy) == ("student",)
    assert calmer(busy, calm) is calm
    assert calmer(calm, busy) is calm
