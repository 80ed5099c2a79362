"""The confirming phase's jobs: further seeds of the finalists, and the controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from autokd.core.job import Job
from autokd.core.record import TrialRecord
from autokd.study import confirm
from autokd.study.appraise import Appraisal
from autokd.study.bench_forecast import corrected
from autokd.study.deploying import Deploying
from autokd.study.frontier import frontier, ranked
from autokd.study.parts import Parts
from autokd.study.plan import CONTROLS, MAX_FINALISTS, N_SEEDS, Plan
from autokd.study.policy import RESERVE_MOST, VITAL_RUNS, Check, deadline_seconds, n_seeds
from autokd.study.prefixes import Prefixes

_ROOM = 1.2  # what is set aside for one finalist where only trials are limited, over its forecast


class Confirming:
    """Chooses finalists, forecasts what confirming them costs, and starts the runs."""

    def __init__(self, parts: Parts, prefixes: Prefixes, deploying: Deploying) -> None:
        self._parts, self._prefixes, self._deploying = parts, prefixes, deploying
        self._appraisals: dict[tuple[int, str], Appraisal] = {}
        self._front_of: tuple[TrialRecord, ...] | None = None  # of which records _front is the frontier
        self._front: tuple[TrialRecord, ...] = ()
        self._best: tuple[TrialRecord, ...] = ()

    def front(self) -> tuple[TrialRecord, ...]:
        """The search's frontier so far, best score first."""
        records = self._parts.comparable()
        if records != self._front_of:
            front = frontier(records, self._parts.objectives)
            if front != self._front:
                self._front, self._best = front, ranked(front, self._parts.objectives, MAX_FINALISTS)
            self._front_of = records
        return self._front

    def plan(self) -> Plan | None:
        """The plan, with new members of the frontier behind the finalists that were chosen first."""
        plan = self._parts.memory.plan
        if plan is None:
            return None
        later = [r.number for r in self._ranked() if r.number not in plan.finalists]
        return Plan((*plan.finalists, *later)[:MAX_FINALISTS], plan.seeds)

    def forecast(self, typical: float) -> float:
        """Device seconds that confirming and deploying will take as things stand.

        ``typical`` is a trial's cost, for the start.
        """
        smallest = (N_SEEDS - 1 + len(CONTROLS) * N_SEEDS) * typical
        deploying = sum(map(self._deploying.cost_of, self._ranked()))
        confirming = max(confirm.plan_cost(self._ranked(), self._cost), smallest)
        return confirming + max(deploying, self.deploy_each) + self._prefix_cost()

    @property
    def deploy_each(self) -> float:
        """Device seconds that deploying the dearest of the frontier will take; of a teacher, before there is one."""
        parts = self._parts
        front = self._ranked()
        if front:
            return max(map(self._deploying.cost_of, front))
        teachers = max(map(parts.memory.teacher_macs, parts.store.settings.teachers), default=0.0)
        return corrected(parts.appraiser.deploy_seconds(teachers, teachers) * parts.maker.share, ())

    def vital(self, begun: Sequence[float]) -> float:
        """Device seconds of the least result: one seed of both controls and one deployment, whichever trial becomes the
        best. ``begun`` are the forecasts of search trials that are not done."""
        best = [max(self._cost(r, name) for name in CONTROLS) for r in self._ranked()[:1]]
        dearest = max([*best, *begun], default=0.0)
        return VITAL_RUNS * dearest + self.deploy_each

    def checks(self, plan: Plan) -> tuple[Check, ...]:
        """The runs that are still to do, most important first; none whose shared stages are gone for good."""
        records = self._parts.by_number()
        found = [
            check
            for check in confirm.checks(plan, records, self._cost)
            if not self._prefixes.broken(self._appraisal(records[check.finalist], check.name))
        ]
        return tuple(
            c if c.opened else replace(c, group_cost=c.group_cost + self._deploying.cost_of(records[c.finalist]))
            for c in found
        )

    def begin(self) -> None:
        """The search is over: choose the finalists, and how many seeds the budget holds."""
        order, memory, accounts = self._ranked(), self._parts.memory, self._parts.accounts
        seeds = N_SEEDS
        if order and math.isinf(accounts.purse().limit):
            # Only trials are limited: confirming may take its usual share of the whole, and what one finalist needs.
            spent = accounts.ledger.spent.device_seconds
            least = _ROOM * confirm.group_cost(order[0], self._cost, N_SEEDS, controls=True)
            memory.keep_confirm_limit(
                max(spent / (1 - RESERVE_MOST), spent + least + self._deploying.cost_of(order[0]))
            )
        elif order:
            dearest = max(self._cost(order[0], name) for name in CONTROLS)
            done = confirm.completed(self._parts.store.records(), order[0].number)
            free = accounts.purse().free - self._deploying.cost_of(order[0]) - self._prefix_cost()
            fit = n_seeds(free, self._cost(order[0], ""), dearest, N_SEEDS, done)
            # Seeds that an earlier, smaller budget has paid for stay in the result.
            seeds = max(fit, *(replicate + 1 for name, replicate in done if not name), 1)
            if seeds < N_SEEDS:
                memory.note_ending(f"The budget holds {seeds} instead of {N_SEEDS} seeds for finalists and controls.")
        memory.keep_plan(Plan(tuple(record.number for record in order[:MAX_FINALISTS]), seeds))

    def start(self, check: Check, cap: float) -> Job | None:
        """Start a confirming run, or the prefix it needs where that is gone from disk."""
        parts = self._parts
        appraisal = self._appraisal(parts.by_number()[check.finalist], check.name)
        self._remember(check.finalist)
        if not self._prefixes.ready(appraisal):
            return self._prefixes.start(appraisal)
        if check.continues is not None:
            number = parts.store.mark_running(check.continues).number
        else:
            number = parts.store.start(
                appraisal.pipeline,
                None,
                "control" if check.name else "confirm",
                name=check.name,
                confirms=check.finalist,
                replicate=check.replicate,
                forecast_macs=0.0 if check.only_scores else appraisal.macs,
            )
        bounded = math.inf if math.isinf(parts.accounts.purse().limit) else cap
        seconds = deadline_seconds(check.cost, bounded, parts.maker.share, runaway=False)
        return parts.fly_trial(number, appraisal, check.cost, seconds)

    def _ranked(self) -> tuple[TrialRecord, ...]:
        """The members of the frontier that may become finalists, the best first."""
        self.front()
        return self._best

    def _remember(self, number: int) -> None:
        """A finalist stays one, even if later trials push it off the frontier."""
        plan = self._parts.memory.plan
        if plan is not None and number not in plan.finalists:
            self._parts.memory.keep_plan(Plan((*plan.finalists, number), plan.seeds))

    def _prefix_cost(self) -> float:
        """Forecast device seconds of shared stages that the frontier needs and that are gone from disk."""
        return self._prefixes.cost_of(self._appraisal(record, "") for record in self._ranked())

    def _cost(self, finalist: TrialRecord, name: str) -> float:
        return self._parts.accounts.safe_cost(self._appraisal(finalist, name).macs)

    def _appraisal(self, finalist: TrialRecord, name: str) -> Appraisal:
        """Of a finalist, or of its control called ``name``."""
        key = (finalist.number, name)
        if key not in self._appraisals:
            appraiser = self._parts.appraiser
            pipeline = finalist.pipeline
            self._appraisals[key] = appraiser.control(pipeline, name) if name else appraiser.appraise(pipeline)
        return self._appraisals[key]
