"""How long one call of a model takes, measured side by side with what it is compared to."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from autokd.core.errors import UsageError
from autokd.deploy.runtimes import Between, Inputs, nothing, random_inputs

_WARM_UP = 3  # calls that are not timed, before anything is
_TURN = 3  # timed calls in a row, after one more that is not: caches then hold this model, as in a server of its own
_LEAST, _MOST = 6, 600  # repeats
_CALM = 1.5  # on a machine of its own, nine calls in ten take less than this times the median


class Timed(Protocol):
    """What can be timed: a ``Runtime``, or so much of one."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def positions(self) -> int: ...

    def run(self, inputs: Inputs) -> np.ndarray: ...


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call (tokenisation apart): median and 90th percentile over ``repeats`` calls."""

    median_ms: float
    p90_ms: float
    repeats: int

    @property
    def spread(self) -> float:
        """The 90th percentile over the median: 1 where all calls take the same time."""
        return self.p90_ms / self.median_ms


def measure(
    candidates: Mapping[str, Timed],
    *,
    batch: int,
    length: int,
    seconds: float = 10.0,
    between: Between = nothing,
) -> dict[str, Timing]:
    """Time candidates in turns, so that whatever else the machine does falls on all of them alike.

    Every call reads the same ``batch`` rows of ``length`` random token ids without padding. Turns go round in an order
    drawn anew each time (fixed seed) until ``seconds`` have passed; at least 6 and at most 600 repeats each. Before a
    turn ``between`` is called, and may raise to end the work. Raises UsageError where a model cannot read rows so long.
    """
    calls = {}
    for name, runtime in candidates.items():
        if length > runtime.positions:
            raise UsageError(f"{name} reads at most {runtime.positions} tokens, but latency is asked at {length}.")
        calls[name] = (runtime, random_inputs(runtime.vocabulary, batch, length))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    names, draw = list(candidates), np.random.default_rng(0)
    collects = gc.isenabled()
    gc.disable()
    try:
        deadline = time.perf_counter() + seconds
        for runtime, inputs in calls.values():
            between()
            for _ in range(_WARM_UP):
                runtime.run(inputs)
        while names and _goes_on(times[names[0]], deadline):
            for i in draw.permutation(len(names)):
                between()
                times[names[i]].extend(_turn(*calls[names[i]]))
    finally:
        if collects:
            gc.enable()
    return {name: _timing(found) for name, found in times.items()}


def disturbed(timings: Mapping[str, Timing]) -> tuple[str, ...]:
    """Names of those whose calls differ so much that something else must have used the machine."""
    return tuple(name for name, timing in timings.items() if timing.spread > _CALM)


def calmer(first: Mapping[str, Timing], second: Mapping[str, Timing]) -> Mapping[str, Timing]:
    """Of two measurements of the same candidates the one whose worst spread is smaller."""
    return min((first, second), key=lambda timings: max(timing.spread for timing in timings.values()))


def _goes_on(times: list[float], deadline: float) -> bool:
    return len(times) < _LEAST or (len(times) < _MOST and time.perf_counter() < deadline)


def _turn(runtime: Timed, inputs: Inputs) -> list[float]:
    """Milliseconds of each timed call."""
    runtime.run(inputs)
    found = []
    for _ in range(_TURN):
        start = time.perf_counter_ns()
        runtime.run(inputs)
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def _timing(times: list[float]) -> Timing:
    median, p90 = np.quantile(times, [0.5, 0.9])
    return Timing(float(median), float(p90), len(times))
