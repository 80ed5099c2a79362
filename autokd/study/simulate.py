"""The simulated runner: recorded or made-up outcomes on a virtual clock, to study searches without training."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autokd.core.job import Job, Outcome
from autokd.core.settings import StudySettings
from autokd.study.places import STOP_FILE
from autokd.study.pool import Driver

_TICK_SECONDS = 1.0


@dataclass
class VirtualClock:
    """Seconds that pass only when a simulation says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class SimulatedRunner:
    """Runs jobs in no time: ``outcome_of(job)`` says how each one ends, ``outcome.seconds`` when.

    Jobs share the driver's ``clock``. Deadlines and stop requests pause them as they pause real ones.
    """

    workers: int
    clock: VirtualClock
    outcome_of: Callable[[Job], Outcome]

    def run(self, driver: Driver, settings: StudySettings) -> None:
        """Until the driver has finished."""
        ends: list[tuple[float, int, Job, Outcome]] = []
        order = itertools.count()
        while not driver.finished:
            while len(ends) < self.workers and (job := driver.next_job()) is not None:
                outcome = self.outcome_of(job)
                if outcome.seconds > job.deadline_seconds:
                    outcome = Outcome("paused", job.deadline_seconds)
                heapq.heappush(ends, (self.clock.now + outcome.seconds, next(order), job, outcome))
            if not ends or ends[0][0] > self.clock.now + _TICK_SECONDS:
                self.clock.now += _TICK_SECONDS
            else:
                self.clock.now, _, job, outcome = heapq.heappop(ends)
                driver.done(job.id, outcome)
            driver.tick()
            self._stop_asked(ends)

    def _stop_asked(self, ends: list[tuple[float, int, Job, Outcome]]) -> None:
        for index, (when, number, job, _) in enumerate(ends):
            if when > self.clock.now and (Path(job.folder) / STOP_FILE).exists():
                ends[index] = (self.clock.now, number, job, Outcome("paused", 0.0))
        heapq.heapify(ends)
