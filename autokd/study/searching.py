"""The search phase's jobs: the probe, and trials with what they wait for."""

from __future__ import annotations

import math

from autokd.core.errors import BudgetError, SpecError
from autokd.core.job import Job
from autokd.study.appraise import Appraisal
from autokd.study.candidates import Candidate
from autokd.study.confirm import SCORING_SHARE
from autokd.study.frontier import SEARCHED
from autokd.study.ledger import binding
from autokd.study.parts import Parts
from autokd.study.policy import RESERVE_MOST, deadline_seconds
from autokd.study.prefixes import Prefixes


class Searching:
    """Draws search trials and starts them; ``closed`` once no proposal can be afforded, or none is left."""

    def __init__(self, parts: Parts, prefixes: Prefixes) -> None:
        self._parts, self._prefixes = parts, prefixes
        self.waiting: list[Candidate] = []
        self.closed = False

    def probe(self) -> Job | None:
        """The probe of this machine, on the first pipeline that the space gives; None while it runs."""
        parts = self._parts
        if parts.accounts.flights:
            return None
        first = parts.candidates.draw(parts.store.records(), (), lambda appraisal, spent: True)
        if first is None:
            raise self._no_pipeline()
        return parts.fly(parts.maker.probe(first.appraisal, parts.accounts.purse().left / parts.maker.share), 0.0)

    def waiting_cost(self) -> float:
        """Forecast device seconds of the trials that wait for a prefix."""
        return sum(self._rest(c.appraisal, 0.0) for c in self.waiting)

    def start_waiting(self, cap: float) -> Job | None:
        """A trial whose prefix has been made meanwhile, None where there is none."""
        self.waiting = [c for c in self.waiting if not self._prefixes.broken(c.appraisal)]
        for candidate in self.waiting:
            if self._prefixes.ready(candidate.appraisal):
                self.waiting.remove(candidate)
                return self._start(candidate, cap)
        if self.waiting:  # its worker may have died: see that somebody makes it
            return self._prefixes.start(self.waiting[0].appraisal)
        return None

    def draw(self, most: float, cap: float) -> Job | None:
        """Start a trial that costs at most ``most`` device seconds, or the prefix it needs; see ``closed``."""
        if self.waiting and not self._prefixes.any_made():
            return None  # everything waits for the first teacher

        def allowed(appraisal: Appraisal, spent: float) -> bool:
            ready = self._prefixes.ready(appraisal)
            if self._prefixes.broken(appraisal) or (self.waiting and not ready):
                return False
            return self._rest(appraisal, spent) + self._prefixes.cost(appraisal) <= most

        candidate = self._parts.candidates.draw(self._parts.store.records(), self.waiting, allowed)
        if candidate is None:
            self._refuse_hopeless()
            self.closed = not self.waiting
            return None
        if not self.waiting and not any(r.role in SEARCHED for r in self._parts.store.records()):
            self._say_what_is_masked(most)
        if self._prefixes.ready(candidate.appraisal):
            return self._start(candidate, cap)
        self.waiting.append(candidate)
        return self._prefixes.start(candidate.appraisal)

    def _start(self, candidate: Candidate, cap: float) -> Job:
        parts, appraisal = self._parts, candidate.appraisal
        if candidate.rests is not None:
            number, before = candidate.rests.number, candidate.rests.device_seconds
            parts.store.mark_running(number)
        else:
            old = candidate.continues
            before = 0.0 if old is None else old.device_seconds
            number = parts.store.start(
                appraisal.pipeline,
                candidate.params,
                candidate.role,
                forecast_macs=appraisal.macs,
                continues=None if old is None else old.number,
            )
            if old is None:
                parts.accounts.ledger.count_trial()
        cost = self._rest(appraisal, before)
        return parts.fly_trial(number, appraisal, cost, deadline_seconds(cost, cap, parts.maker.share, runaway=True))

    def _rest(self, appraisal: Appraisal, spent: float) -> float:
        """What a trial still costs after ``spent`` device seconds; finishing one costs something in any case."""
        whole = self._parts.accounts.cost(appraisal.macs)
        return max(whole - spent, SCORING_SHARE * whole)

    def _say_what_is_masked(self, most: float) -> None:
        cost = self._parts.accounts.cost
        masked = self._parts.candidates.too_dear(lambda a: self._prefixes.cost(a) + cost(a.macs), most)
        if masked:
            self._parts.memory.note(f"Masked, because the budget does not hold them: {', '.join(masked)}.")

    def _refuse_hopeless(self) -> None:
        """A budget that holds no trial at all is an error of the request, not a result."""
        parts = self._parts
        if self.waiting or any(r.role in SEARCHED for r in parts.store.records()):
            return
        self._prefixes.refuse_broken()
        cheapest = parts.candidates.cheapest(lambda a: self._prefixes.cost(a) + parts.accounts.cost(a.macs))
        limit = parts.accounts.purse().limit
        if cheapest == 0 or math.isinf(limit):
            raise self._no_pipeline()
        needed = parts.accounts.ledger.spent.device_seconds + cheapest / (1 - RESERVE_MOST)
        number, _, unit = binding(parts.accounts.budget, parts.accounts.ledger.spent.of)
        least = math.ceil(number * max(needed / limit, 1.1))
        raise BudgetError(
            f"a budget must hold the teacher, a trial and its controls, but {parts.accounts.budget.text!r} does not; "
            f"for the cheapest pipeline of the space write {least}{unit} at least, for a search a few times that."
        )

    def _no_pipeline(self) -> SpecError:
        name = self._parts.store.settings.space_name
        return SpecError(f"the space {name!r} has no pipeline that this study can run. `autokd check` says why.")
