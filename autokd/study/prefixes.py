"""Shared prefixes as jobs of the study: who needs which, which are made, which cannot be."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autokd.core.errors import AutokdError, BudgetError
from autokd.core.job import Job, Outcome
from autokd.study.accounts import Flight
from autokd.study.appraise import Appraisal
from autokd.study.causes import CRASHED
from autokd.study.parts import Parts
from autokd.study.places import remove
from autokd.study.policy import OVERDRAFT, RESERVE_LEAST, deadline_seconds

MARGIN = 1.2  # several threads on one job are not quite as good as as many jobs
_TRIES = 3  # shared stages whose worker dies are started this often


class Prefixes:
    """Starts each prefix once. While nothing else can run it gets all cores."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tries: dict[str, int] = {}
        self._broken: dict[str, str] = {}

    def ready(self, appraisal: Appraisal) -> bool:
        """Whether a pipeline's shared stages are made, and this study knows what they are worth.

        The disk is looked at each time: the cache may be removed at any moment, and is filled again then.
        """
        name = appraisal.prefix
        return not name or (self._parts.memory.has_prefix(name) and self._parts.appraiser.prefix_ready(name))

    def any_made(self) -> bool:
        """Whether the study ever made a prefix."""
        return any(map(self._parts.memory.has_prefix, self._parts.memory.prefixes))

    def broken(self, appraisal: Appraisal) -> bool:
        """Whether a pipeline's shared stages were tried and cannot be made."""
        return appraisal.prefix in self._broken

    def cost(self, appraisal: Appraisal) -> float:
        """Forecast device seconds of making a pipeline's shared stages behind those that are made, 0 where all are."""
        return 0.0 if self.ready(appraisal) else MARGIN * self._parts.accounts.cost(self._left(appraisal))

    def _left(self, appraisal: Appraisal) -> float:
        """What the shared stages train that are not made; all of them, of a pipeline that says nothing of each."""
        left = 0.0
        for name, macs in reversed(appraisal.prefix_parts):
            if self._parts.appraiser.prefix_ready(name):
                return left
            left += macs
        return appraisal.prefix_macs

    def cost_of(self, appraisals: Iterable[Appraisal]) -> float:
        """Forecast device seconds of all shared stages that these pipelines still need, each made once."""
        return sum(self.cost(each) for each in {each.prefix: each for each in appraisals}.values())

    def start(self, appraisal: Appraisal) -> Job | None:
        """The job that makes a prefix, None where it is being made already. Raises AutokdError where it cannot be.

        One that was made before and is gone from disk is for what the study has begun: nothing is kept from it.
        """
        flights = self._parts.accounts.flights
        if f"prefix-{appraisal.prefix}" in flights:
            return None
        self.refuse_broken(appraisal)
        purse = self._parts.accounts.purse()
        alone = not flights
        devices = self._parts.maker.prefix(appraisal, 0.0, alone=alone).devices
        again = self._parts.memory.has_prefix(appraisal.prefix)
        kept = (1 - OVERDRAFT if again else RESERVE_LEAST) * purse.limit
        cap = purse.left if math.isinf(purse.limit) else purse.left - kept
        seconds = deadline_seconds(0.0, cap, devices, runaway=False)
        return self._parts.fly(self._parts.maker.prefix(appraisal, seconds, alone=alone), self.cost(appraisal))

    def refuse_broken(self, appraisal: Appraisal | None = None) -> None:
        """Raises AutokdError with the cause where this prefix (None: some prefix) cannot be made."""
        for name, why in self._broken.items():
            if appraisal is None or appraisal.prefix == name:
                raise AutokdError(f"the shared stages of the pipelines (the teacher) cannot be made: {why}")

    def done(self, flight: Flight, outcome: Outcome, seconds: float, *, stopping: bool) -> None:
        """Take a prefix job's outcome.

        Raises BudgetError where its deadline, and no wish of ours, ended it before the study has any other prefix.
        """
        parts = self._parts
        appraisal = parts.appraiser.appraise(flight.job.spec.pipeline)
        made = outcome.state == "complete" and appraisal.prefix_macs > 0
        rate = seconds / (MARGIN * appraisal.prefix_macs) if made else 0.0
        parts.memory.keep_prefix(appraisal.prefix, appraisal.teacher, outcome, seconds, rate)
        if outcome.state == "complete":
            remove(parts.maker.places.job(flight.job.id))
        elif outcome.state == "failed":
            self._failed(appraisal.prefix, outcome.error)
        elif stopping:
            return
        elif self.any_made():
            stages = ", ".join(
                stage["use"] for stage in appraisal.pipeline["stages"][: len(appraisal.prefix_parts) or 1]
            )
            why = f"that was not done after {seconds:.0f} device seconds"
            self._broken[appraisal.prefix] = why
            parts.memory.note_ending(f"Left out: what needs {stages} with {appraisal.teacher}, because {why}.")
        else:
            raise BudgetError(
                f"the budget {parts.accounts.budget.text!r} does not hold the teacher's fine-tuning and trials after "
                f"it: fine-tuning was not done after {seconds:.0f} device seconds. `autokd resume` with a larger "
                "budget goes on from there."
            )

    def _failed(self, name: str, why: str) -> None:
        self._tries[name] = self._tries.get(name, 0) + 1
        if not why.startswith(CRASHED) or self._tries[name] >= _TRIES:
            self._broken[name] = why
