"""Trials that wait for the latency of their shape, and the jobs that measure it while nothing else runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from autokd.core.job import Job, Outcome
from autokd.study.accounts import Flight
from autokd.study.causes import CRASHED
from autokd.study.parts import Parts
from autokd.study.policy import OVERDRAFT, deadline_seconds
from autokd.study.shapes import latency_values, needs, teacher_of, with_latency

_TRIES = 3  # a measurement whose worker dies, or that is not done in its time, is started this often


@dataclass(frozen=True)
class Landed:
    """A trial's job that came back: its outcome is told once it has its latency. ``seconds`` are device seconds."""

    flight: Flight
    outcome: Outcome
    seconds: float

    @property
    def teacher(self) -> str:
        return teacher_of(self.flight.job.spec.pipeline)


class Measuring:
    """Holds complete trials back until the latency of their shape is known, where the study asks for latencies.

    What waits is not lost with its driver: its result lies in its folder, where the next driver finds it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings = parts.store.settings
        self._wanted = needs("latency", settings.objectives, settings.constraints)
        self._waiting: list[Landed] = []
        self._tries: Counter[tuple[str, str]] = Counter()  # by shape and teacher, beside which it is timed
        self._broken: dict[tuple[str, str], str] = {}

    @property
    def waiting(self) -> tuple[Landed, ...]:
        """Finished trials that wait."""
        return tuple(self._waiting)

    def admit(self, landed: Landed) -> tuple[Landed, ...]:
        """The trial with what is known of its shape, nothing where it has to wait for that."""
        outcome = landed.outcome
        if outcome.state != "complete":
            return (landed,)
        if "size_bytes" in outcome.values:
            self._parts.memory.keep_shape(outcome.shape, {"size_bytes": outcome.values["size_bytes"]})
        if not self._wanted:
            return (landed,)
        values = latency_values(self._parts.memory.shapes, outcome.shape, landed.teacher)
        broken = self._broken.get((outcome.shape, landed.teacher))
        if values is None and broken is not None:
            why = f"its latency could not be measured: {broken}"
            return (replace(landed, outcome=replace(outcome, state="failed", error=why)),)
        if values is None:
            self._waiting.append(landed)
            return ()
        return (replace(landed, outcome=replace(outcome, values={**outcome.values, **values})),)

    def start(self) -> Job:
        """The job that times the first waiting trial's student beside its teacher."""
        parts, landed = self._parts, self._waiting[0]
        purse, cost = parts.accounts.purse(), parts.appraiser.latency_seconds * parts.maker.share
        seconds = deadline_seconds(cost, purse.left + (OVERDRAFT - 1) * purse.limit, parts.maker.share, runaway=True)
        return parts.fly(parts.maker.latency(landed.flight.job, max(seconds, cost)), cost)

    def done(self, flight: Flight, outcome: Outcome, seconds: float) -> tuple[Landed, ...]:
        """Take a measurement; the trials that need not wait any longer."""
        memory = self._parts.memory
        landed = self._waiting[0]
        shape = landed.outcome.shape
        if outcome.state == "complete":
            memory.keep_shape(shape, with_latency(memory.shapes, shape, landed.teacher, outcome.values))
        else:
            key = (shape, landed.teacher)
            self._tries[key] += 1
            lost = outcome.state == "paused" or outcome.error.startswith(CRASHED)
            if not lost or self._tries[key] >= _TRIES:
                self._broken[key] = outcome.error or "it was not done in its time"
        memory.add_measuring_seconds(seconds)
        waited, self._waiting = self._waiting, []
        return tuple(ready for each in waited for ready in self.admit(each))
