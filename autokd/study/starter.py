"""Asks the policy what to do next and has it done: decisions become jobs here."""

from __future__ import annotations

import math
import statistics

from autokd.core.job import ALONE, Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.accounts import Flight
from autokd.study.confirming import Confirming
from autokd.study.deploying import Deploying
from autokd.study.frontier import SEARCHED
from autokd.study.measuring import Measuring
from autokd.study.parts import Parts
from autokd.study.plan import Plan
from autokd.study.policy import (
    Confirm,
    Decision,
    Deploy,
    Finish,
    Measure,
    Purse,
    Run,
    Situation,
    Try,
    decide,
    reserve,
)
from autokd.study.prefixes import Prefixes
from autokd.study.searching import Searching

_ROUNDING = 1e-9


class Starter:
    """Chooses and makes the next job of one study. ``over`` once there is nothing more to start."""

    def __init__(self, parts: Parts, prefixes: Prefixes, measuring: Measuring) -> None:
        self._parts = parts
        self._searching = Searching(parts, prefixes, measuring)
        self._deploying = Deploying(parts, prefixes)
        self._confirming = Confirming(parts, prefixes, self._deploying)
        self._measuring = measuring
        self.over = False

    def next_job(self) -> Job | None:
        """The next job, None where nothing can start now."""
        accounts = self._parts.accounts
        if self.over or accounts.devices_free < self._parts.maker.share - _ROUNDING:
            return None
        if accounts.forecast is None:
            return self._searching.probe()
        if not self._alone() and not self._measuring.due:
            waiting = self._searching.start_waiting(self._cap(), self._purse().free - self._confirming.deploy_each)
            if waiting is not None:
                return waiting
        while True:
            decision = decide(self._situation())
            job = self._carry_out(decision)
            again = isinstance(decision, Confirm) or (isinstance(decision, Try) and self._searching.closed)
            if job is not None or not again:
                return job

    def is_over(self) -> bool:
        """Whether the study has nothing left to start, as far as that can be told without starting anything."""
        if self._parts.accounts.forecast is None or self._parts.memory.plan is None:
            return False
        return isinstance(decide(self._situation()), Finish)

    def front(self) -> tuple[TrialRecord, ...]:
        """The search's frontier so far, best score first."""
        return self._confirming.front()

    def _carry_out(self, decision: Decision) -> Job | None:
        match decision:
            case Try():
                return self._searching.draw(decision)
            case Run(check, cap):
                return self._confirming.start(check, cap)
            case Confirm():
                self._searching.reopen()
                self._confirming.begin()
            case Measure(cap):
                return self._measuring.start(cap)
            case Deploy(cap):
                return self._deploying.start(self._plan(), cap)
            case Finish():
                self._measuring.tell_left()
                self._deploying.tell_left(self._plan())
                self.over = True
        return None

    def _situation(self) -> Situation:
        parts, plan = self._parts, self._confirming.plan()
        searched = [r for r in parts.store.records() if r.role in SEARCHED]
        costs = [parts.accounts.cost(r.forecast_macs) for r in searched if r.forecast_macs > 0]
        typical = statistics.median(costs) if costs else 0.0
        todo = () if plan is None else self._deploying.todo(plan)
        each = self._deploying.least_cost(plan) if plan is not None and todo else self._confirming.deploy_each
        return Situation(
            purse=self._purse(),
            running=len(parts.accounts.flights),
            tried=len(searched) + len(self._searching.waiting),
            typical=typical,
            plan_cost=self._confirming.forecast(typical) if plan is None else 0.0,
            vital_cost=self._confirming.vital(self._begun()) if plan is None else 0.0,
            checks=() if plan is None else self._confirming.checks(plan),
            closed=self._searching.closed,
            confirming=plan is not None,
            fill=not math.isinf(parts.accounts.purse().limit),
            deploys=len(todo),
            deploy_each=each,
            deploy_cost=0.0 if plan is None else self._deploying.cost(plan),
            unmeasured=self._measuring.due,
            measure_cost=self._measuring.cost,
            alone=self._alone(),
        )

    def deployed(self, flight: Flight, outcome: Outcome, seconds: float) -> None:
        """A deployment came back."""
        self._deploying.done(flight, outcome, seconds)

    def _begun(self) -> list[float]:
        """Forecasts, with a margin, of the search trials that run or wait for their prefix."""
        forecast, flights = self._parts.accounts.forecast, self._parts.accounts.flights.values()
        margin = 1.0 if forecast is None else forecast.margin
        costs = [flight.cost for flight in flights if flight.job.kind == "trial"]
        return [margin * cost for cost in costs + self._searching.waiting_costs()]

    def _alone(self) -> bool:
        return any(flight.job.kind in ALONE for flight in self._parts.accounts.flights.values())

    def _plan(self) -> Plan:
        return self._confirming.plan() or Plan(())

    def _purse(self) -> Purse:
        waiting = sum(self._searching.waiting_costs()) + self._measuring.cost
        return self._parts.accounts.purse(waiting, self._parts.memory.confirm_limit)

    def _cap(self) -> float:
        """What a trial that waited may use of the budget."""
        purse = self._purse()
        return purse.left - (reserve(purse.limit, 0.0) if self._parts.memory.plan is None else 0.0)
