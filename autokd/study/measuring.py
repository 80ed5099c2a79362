"""Trials that wait for the latency of their shape, and the jobs that measure it while nothing else runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from autokd.core.job import Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.accounts import Flight
from autokd.study.appraise import Appraisal
from autokd.study.bench_forecast import corrected
from autokd.study.causes import CRASHED
from autokd.study.frontier import frontier
from autokd.study.parts import Parts
from autokd.study.places import folder_number
from autokd.study.prefixes import Prefixes
from autokd.study.shapes import known_values, latency_values, needs, teacher_of, with_latency

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

    What waits is not lost with its driver: its result lies in its folder, where the next driver finds it. The frontier
    of a study that goes on on another machine is timed anew before anything else.
    """

    def __init__(self, parts: Parts, prefixes: Prefixes) -> None:
        self._parts, self._prefixes = parts, prefixes
        settings = parts.store.settings
        self._wanted = needs("latency", settings.objectives, settings.constraints)
        self._waiting: list[Landed] = []
        self._tries: Counter[tuple[str, str]] = Counter()  # by shape and teacher, beside which it is timed
        self._broken: dict[tuple[str, str], str] = {}
        self._stale = self._timed_elsewhere() if self._wanted else []

    @property
    def stale(self) -> tuple[int, ...]:
        """Numbers of the frontier's trials that were timed on another machine, and wait to be timed on this one."""
        return tuple(record.number for record in self._stale)

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
        machine = self._parts.timed_on.machine
        values = latency_values(self._parts.memory.shapes, outcome.shape, landed.teacher, machine)
        broken = self._broken.get((outcome.shape, landed.teacher))
        if values is None and broken is not None:
            why = f"its latency could not be measured: {broken}"
            return (replace(landed, outcome=replace(outcome, state="failed", error=why)),)
        if values is None:
            self._waiting.append(landed)
            return ()
        told = replace(outcome, values={**outcome.values, **values}, timed_on=machine)
        return (replace(landed, outcome=told),)

    @property
    def due(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self._waiting or self._stale)

    @property
    def cost(self) -> float:
        """Forecast device seconds of the next measurement, 0 where there is none."""
        if not self.due:
            return 0.0
        _, teacher, macs = self._next()
        return self._corrected(macs, teacher) + self._prefixes.cost(self._next_appraisal())

    def cost_of(self, appraisal: Appraisal) -> float:
        """Forecast device seconds of measuring a trial that is to be started, 0 where its shape is known."""
        parts = self._parts
        known = known_values(parts.memory.shapes, appraisal.shape, parts.timed_on.machine)
        if not self._wanted or "latency_ms" in known:
            return 0.0
        return self._corrected(appraisal.values.get("macs", 0.0), appraisal.teacher)

    def take_up(self, record: TrialRecord, outcome: Outcome) -> tuple[Landed, ...]:
        """As ``admit``, of a trial that finished under an earlier driver: what it took is in its record already."""
        parts, records = self._parts, self._parts.by_number()
        appraisal = parts.appraiser.appraise(record.pipeline)
        number = parts.store.mark_running(record.number).number
        job = parts.trial_job(records[number], appraisal, 0.0)
        return self.admit(Landed(Flight(job, 0.0, number), outcome, 0.0))

    def start(self, cap: float) -> Job | None:
        """The job that times the next student beside its teacher, within ``cap`` device seconds; or the one that makes
        that teacher again."""
        parts, appraisal = self._parts, self._next_appraisal()
        if not self._prefixes.ready(appraisal) and not self._prefixes.broken(appraisal):
            return self._prefixes.start(appraisal)
        cost = self.cost
        seconds = min(_LONGEST * cost, cap) / parts.maker.share
        trial = self._waiting[0].flight.job if self._waiting else self._job(self._stale[0])
        return parts.fly(parts.maker.latency(trial, seconds), cost)

    def tell_left(self) -> None:
        """Note which trials the budget leaves without a latency."""
        if self._waiting:
            names = ", ".join(str(landed.flight.number) for landed in self._waiting)
            self._parts.memory.note_ending(f"The budget did not hold timing these finished trials: {names}.")

    def done(self, flight: Flight, outcome: Outcome, seconds: float) -> tuple[Landed, ...]:
        """Take a measurement; the trials that need not wait any longer."""
        parts, memory = self._parts, self._parts.memory
        shape, teacher, macs = self._next()
        refused = parts.timed_on.refuse(outcome)
        if outcome.state == "complete" and not refused:
            if seconds >= _FOUND:
                memory.add_surprise("latency", seconds / self._guess(macs, teacher))
            machine = parts.timed_on.machine
            memory.keep_shape(shape, with_latency(memory.shapes, shape, teacher, machine, outcome.values))
        else:
            self._failed((shape, teacher), refused, outcome)
        memory.add_measuring_seconds(seconds)
        self._stale = [record for record in self._stale if not self._is_known(record)]
        waited, self._waiting = self._waiting, []
        return tuple(ready for each in waited for ready in self.admit(each))

    def _next(self) -> tuple[str, str, float]:
        """Shape, teacher and multiply-accumulates of what is measured next."""
        if self._waiting:
            landed = self._waiting[0]
            return landed.outcome.shape, landed.teacher, landed.outcome.values.get("macs", 0.0)
        record = self._stale[0]
        return record.shape, teacher_of(record.pipeline), record.values.get("macs", 0.0)

    def _next_appraisal(self) -> Appraisal:
        """What is known of the pipeline whose student is measured next."""
        pipeline = self._waiting[0].flight.job.spec.pipeline if self._waiting else self._stale[0].pipeline
        return self._parts.appraiser.appraise(pipeline)

    def _failed(self, key: tuple[str, str], refused: str, outcome: Outcome) -> None:
        """Try again what was lost with its worker, stopped, or run on another machine; a few times."""
        self._tries[key] += 1
        lost = bool(refused) or outcome.state == "paused" or outcome.error.startswith(CRASHED)
        if not lost or self._tries[key] >= _TRIES:
            self._broken[key] = refused or outcome.error or "it was not done in its time"

    def _corrected(self, macs: float, teacher: str) -> float:
        return corrected(self._guess(macs, teacher), self._parts.memory.surprises("latency"))

    def _guess(self, macs: float, teacher: str) -> float:
        parts = self._parts
        return parts.appraiser.latency_seconds(macs, parts.memory.teacher_macs(teacher)) * parts.maker.share

    def _timed_elsewhere(self) -> list[TrialRecord]:
        """The frontier as another machine timed it, as far as its checkpoints are there and this one does not know."""
        parts = self._parts
        front = frontier(parts.store.records(), parts.objectives)
        there = [
            r for r in front if r.timed_on != parts.timed_on.machine and Path(r.checkpoint, "config.json").exists()
        ]
        return [record for record in there if not self._is_known(record)]

    def _is_known(self, record: TrialRecord) -> bool:
        """Whether a trial has its latency on this machine, or cannot have one."""
        teacher, parts = teacher_of(record.pipeline), self._parts
        known = latency_values(parts.memory.shapes, record.shape, teacher, parts.timed_on.machine)
        return known is not None or (record.shape, teacher) in self._broken

    def _job(self, record: TrialRecord) -> Job:
        """The job of a finished trial, as far as its folder and pipeline go."""
        maker, folder = self._parts.maker, folder_number(record, self._parts.by_number())
        return maker.trial(record.number, "trial", folder, record.pipeline, record.replicate, 0.0, 0.0)
