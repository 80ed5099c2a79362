"""The study's money: what jobs in flight use and will use, what is left, and what new jobs will cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from autokd.core.budget import Budget
from autokd.core.job import ALONE, Job
from autokd.core.record import TrialRecord
from autokd.study.forecast import Forecast, calibrate
from autokd.study.ledger import Ledger, Spent, purse
from autokd.study.places import ask_to_stop
from autokd.study.policy import Purse, must_stop

_OVERRUN = 0.1  # a job past its forecast is expected to need this share of what it has used


@dataclass(frozen=True)
class Flight:
    """A job that a worker has: ``cost`` is its forecast in device seconds, ``number`` its trial's (None: no trial).

    ``before`` are the device seconds that earlier sittings of the same trial took.
    """

    job: Job
    cost: float
    number: int | None = None
    before: float = 0.0


class Accounts:
    """Keeps ledger, flights and forecast of one driver. ``capacity`` is how many devices may be in use at once."""

    def __init__(self, budget: Budget, capacity: float, clock: Callable[[], float], start: Spent) -> None:
        self.budget, self.capacity = budget, capacity
        self.ledger = Ledger(clock, start)
        self.flights: dict[str, Flight] = {}
        self.probe: float | None = None  # device seconds per multiply-accumulate
        self._forecast: Forecast | None = None
        self._stopped: set[str] = set()

    # ------------------------------------------------------------------------------------------ jobs in flight

    def take_off(self, flight: Flight) -> None:
        """A job goes to a worker."""
        self.flights[flight.job.id] = flight
        self.ledger.open(flight.job.id, flight.job.devices)

    def land(self, job_id: str) -> tuple[Flight, float]:
        """A job came back: its flight, and the device seconds of this sitting."""
        self._stopped.discard(job_id)
        return self.flights.pop(job_id), self.ledger.close(job_id)

    @property
    def devices_free(self) -> float:
        return self.capacity - sum(flight.job.devices for flight in self.flights.values())

    def remaining(self, flight: Flight) -> float:
        """Device seconds that a job in flight is still expected to use."""
        used = self.ledger.cost(flight.job.id)
        return max(flight.cost - used, _OVERRUN * used)

    def purse(self, waiting: float = 0.0, limit: float | None = None) -> Purse:
        """What is left now; ``waiting`` is the forecast of jobs that are decided but not started.

        ``limit`` replaces an infinite limit, where only trials are counted.
        """
        committed = sum(self.remaining(flight) for flight in self.flights.values()) + waiting
        found = purse(self.budget, self.ledger.spent, committed, self.capacity)
        if limit is not None and found.limit == float("inf"):
            return Purse(limit, found.spent, found.committed, found.trials_left)
        return found

    def stop(self, job_ids: Iterable[str]) -> None:
        """Ask jobs in flight to save themselves and return."""
        for job_id in job_ids:
            if job_id not in self._stopped:
                ask_to_stop(Path(self.flights[job_id].job.folder))
                self._stopped.add(job_id)

    def stop_overdrawn(self) -> None:
        """Ask those jobs to stop for which there is no budget left. Measurements are short, and end by themselves."""
        now = self.purse()
        flights = {name: flight for name, flight in self.flights.items() if flight.job.kind not in ALONE}
        self.stop([name for name, flight in flights.items() if must_stop(now, self.remaining(flight))])

    # ------------------------------------------------------------------------------------------ forecasts

    def learn(self, records: Iterable[TrialRecord]) -> None:
        """Bring the forecast up to date with what trials really took."""
        if self.probe is not None:
            done = [r for r in records if r.state == "complete" and r.continues is None]
            self._forecast = calibrate(self.probe, [(r.forecast_macs, r.device_seconds) for r in done])

    @property
    def forecast(self) -> Forecast | None:
        """None until the probe has told how fast a worker is."""
        return self._forecast

    def cost(self, macs: float) -> float:
        """Device seconds of a job that trains ``macs``; 0 as long as nothing is known."""
        return self._forecast.seconds(macs) if self._forecast is not None else 0.0

    def safe_cost(self, macs: float) -> float:
        """As ``cost``, with a margin that covers most jobs."""
        return self._forecast.safe(macs) if self._forecast is not None else 0.0
