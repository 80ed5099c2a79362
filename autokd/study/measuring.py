"""Trials that wait for the latency of their shape, and the jobs that measure it while nothing else runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from autokd.core.job import Job, Outcome
from autokd.study.accounts import Flight
from autokd.study.appraise import Appraisal
from autokd.study.bench_forecast import corrected
from autokd.study.causes import CRASHED
from autokd.study.parts import Parts
from autokd.study.shapes import latency_values, needs, teacher_of, with_latency

_TRIES = 3  # a measurement whose worker dies, or that is not done in its time, is started this often
_FOUND = 0.5  # device seconds below which nothing was measured: the result was found on disk
_LONGEST = 10.0  # a measurement may take this many times its forecast, where the budget does not end before


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

    @property
    def cost(self) -> float:
        """Forecast device seconds of measuring the shape of the first trial that waits, 0 where none does."""
        if not self._waiting:
            return 0.0
        landed = self._waiting[0]
        return self._corrected(landed.outcome.values.get("macs", 0.0), landed.teacher)

    def cost_of(self, appraisal: Appraisal) -> float:
        """Forecast device seconds of measuring a trial that is to be started, 0 where its shape is known."""
        if not self._wanted or latency_values(self._parts.memory.shapes, appraisal.shape, appraisal.teacher):
            return 0.0
        return self._corrected(appraisal.values.get("macs", 0.0), appraisal.teacher)

    def _corrected(self, macs: float, teacher: str) -> float:
        return corrected(self._guess(macs, teacher), self._parts.memory.surprises("latency"))

    def _guess(self, macs: float, teacher: str) -> float:
        parts = self._parts
        return parts.appraiser.latency_seconds(macs, parts.memory.teacher_macs(teacher)) * parts.maker.share

    def start(self, cap: float) -> Job:
        """The job that times the first waiting trial's student beside its teacher, within ``cap`` device seconds."""
        parts, landed = self._parts, self._waiting[0]
        cost = self.cost
        seconds = min(_LONGEST * cost, cap) / parts.maker.share
        return parts.fly(parts.maker.latency(landed.flight.job, seconds), cost)

    def tell_left(self) -> None:
        """Note which trials the budget leaves without a latency."""
        if self._waiting:
            names = ", ".join(str(landed.flight.number) for landed in self._waiting)
            self._parts.memory.note_ending(f"The budget did not hold timing these finished trials: {names}.")

    def done(self, flight: Flight, outcome: Outcome, seconds: float) -> tuple[Landed, ...]:
        """Take a measurement; the trials that need not wait any longer."""
        memory = self._parts.memory
        landed = self._waiting[0]
        shape = landed.outcome.shape
        if outcome.state == "complete":
            if seconds >= _FOUND:
                macs = landed.outcome.values.get("macs", 0.0)
                memory.add_surprise("latency", seconds / self._guess(macs, landed.teacher))
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
