"""The search phase's jobs: the probe, and trials with what they wait for."""

from __future__ import annotations

import math
from pathlib import Path

from autokd.core.canonical import digest
from autokd.core.errors import BudgetError, SpecError
from autokd.core.job import Job
from autokd.core.objectives import excesses
from autokd.study.appraise import Appraisal
from autokd.study.candidates import Candidate
from autokd.study.causes import LOST
from autokd.study.confirm import SCORING_SHARE
from autokd.study.frontier import SEARCHED
from autokd.study.ledger import binding
from autokd.study.measuring import Measuring
from autokd.study.parts import Parts
from autokd.study.policy import RESERVE_MOST, VITAL_RUNS, Try, deadline_seconds
from autokd.study.prefixes import Prefixes
from autokd.study.queue import Queue, Waiting
from autokd.study.shapes import known_values

_CHEAP = 1.5  # times the cheapest pipeline's cost: what a first trial may cost where the budget is nearly spent


class Searching:
    """Takes what was asked for and draws search trials, and starts them."""

    def __init__(self, parts: Parts, prefixes: Prefixes, measuring: Measuring) -> None:
        self._parts, self._prefixes, self._measuring = parts, prefixes, measuring
        self._queue = Queue(parts.maker.places.queue)
        self.waiting: list[Candidate] = []
        self._closed = False
        self._refused: frozenset[Path] = frozenset()

    def probe(self) -> Job | None:
        """The probe of this machine, on the first pipeline that the space gives; None while it runs."""
        parts = self._parts
        if parts.accounts.flights:
            return None
        first = parts.candidates.draw(parts.store.records(), (), lambda appraisal, spent: True)
        if first is None:
            raise self._no_pipeline()
        return parts.fly(parts.maker.probe(first.appraisal, parts.accounts.purse().left / parts.maker.share), 0.0)

    def waiting_costs(self) -> list[float]:
        """Forecast device seconds of each trial that waits for a prefix."""
        return [self._rest(c.appraisal, 0.0) for c in self.waiting]

    def start_waiting(self, cap: float, whole: float) -> Job | None:
        """A trial whose prefix has been made meanwhile, None where there is none.

        ``whole`` is what is free beside those that wait. One that turns out dearer than that with its vital runs, now
        that the prefix has told how fast this machine is, goes back to where it came from.
        """
        self.waiting = [c for c in self.waiting if not self._prefixes.broken(c.appraisal)]
        for candidate in [c for c in self.waiting if self._prefixes.ready(c.appraisal)]:
            self.waiting.remove(candidate)
            if self._vital(candidate.appraisal) <= whole:
                return self._start(candidate, cap)
            self._put_back(candidate)
            whole += self._rest(candidate.appraisal, 0.0)
        if self.waiting:  # its worker may have died: see that somebody makes it
            return self._prefixes.start(self.waiting[0].appraisal)
        return None

    def draw(self, decision: Try) -> Job | None:
        """Start a trial within the decision's bounds, or the prefix it needs; see ``closed``."""
        if self.waiting and not self._prefixes.any_made():
            return None  # everything waits for the first teacher

        cap, candidate = decision.cap, self._candidate(decision.most, decision.whole)
        if candidate is None and decision.needed:
            candidate = self._candidate(decision.most)
        if candidate is None and decision.needed and self._prefixes.any_made():
            # The teacher took more than it was forecast to: a student without all controls is better than none.
            cap = self._parts.accounts.purse().left
            candidate = self._candidate(min(_CHEAP * self._cheapest(), cap))
        if candidate is None:
            self._refuse_hopeless()
            self._closed = not self.waiting
            self._refused = frozenset(entry.file for entry in self._queued())
            return None
        if not self.waiting and not any(r.role in SEARCHED for r in self._parts.store.records()):
            self._say_what_is_masked(decision.most)
        if self._prefixes.ready(candidate.appraisal):
            return self._start(candidate, cap)
        self.waiting.append(candidate)
        return self._prefixes.start(candidate.appraisal)

    def _candidate(self, most: float, whole: float = math.inf) -> Candidate | None:
        """What was asked for, or else the next proposal, that costs at most ``most``, with its vital runs ``whole``."""

        def affordable(appraisal: Appraisal, spent: float) -> bool:
            ready = self._prefixes.ready(appraisal)
            if self._prefixes.broken(appraisal) or (self.waiting and not ready):
                return False
            around = self._prefixes.cost(appraisal) + self._measuring.cost_of(appraisal)
            cost = self._rest(appraisal, spent) + around
            return cost <= most and cost + self._vital(appraisal) <= whole

        def allowed(appraisal: Appraisal, spent: float) -> bool:
            return affordable(appraisal, spent) and not self._breaks(appraisal)

        records, candidates = self._parts.store.records(), self._parts.candidates
        found = candidates.asked(self._queued(), self.waiting, affordable)
        return found or candidates.draw(records, self.waiting, allowed)

    def _put_back(self, candidate: Candidate) -> None:
        begun = candidate.rests or candidate.continues
        if begun is not None:
            self._parts.candidates.go_on(begun)
        elif candidate.asked is None:  # an entry of the queue is still in it
            self._parts.candidates.again(candidate.params, candidate.role)

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
                candidate.params or None,
                candidate.role,
                forecast_macs=appraisal.macs,
                continues=None if old is None else old.number,
            )
            if old is None:
                parts.accounts.ledger.count_trial()
            if candidate.asked is not None:
                candidate.asked.file.unlink(missing_ok=True)
        cost = self._rest(appraisal, before)
        return parts.fly_trial(number, appraisal, cost, deadline_seconds(cost, cap, parts.maker.share, runaway=True))

    @property
    def closed(self) -> bool:
        """Whether no proposal can be afforded or none is left, and nobody has asked for anything since."""
        return self._closed and self._refused >= {entry.file for entry in self._queued()}

    def reopen(self) -> None:
        """There may be more to spend now: look again."""
        self._closed = False

    def _queued(self) -> tuple[Waiting, ...]:
        """What waits in the queue; an entry that a killed driver had started already is removed."""
        waiting = self._queue.waiting()
        if not waiting:
            return ()
        records = [r for r in self._parts.store.records() if r.role == "enqueued" and not r.error.startswith(LOST)]
        started = {digest(record.pipeline) for record in records}
        for entry in waiting:
            if digest(entry.pipeline) in started:
                entry.file.unlink(missing_ok=True)
        return tuple(entry for entry in waiting if digest(entry.pipeline) not in started)

    def _breaks(self, appraisal: Appraisal) -> bool:
        """Whether another trial of the same shape was measured, and breaks a constraint."""
        values = known_values(self._parts.memory.shapes, appraisal.shape, self._parts.memory.machine)
        bounds = excesses(self._parts.store.settings.constraints, values) if values else {}
        return any(excess > 0 for excess in bounds.values())

    def _rest(self, appraisal: Appraisal, spent: float) -> float:
        """What a trial still costs after ``spent`` device seconds; finishing one costs something in any case."""
        whole = self._parts.accounts.cost(appraisal.macs)
        return max(whole - spent, SCORING_SHARE * whole)

    def _vital(self, appraisal: Appraisal) -> float:
        """What a trial will need, with a margin, if it becomes the best finalist."""
        return VITAL_RUNS * self._parts.accounts.safe_cost(appraisal.macs)

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
        cheapest = self._cheapest()
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

    def _cheapest(self) -> float:
        """Forecast device seconds of the cheapest pipeline looked at, its prefix included; 0: there was none."""
        cost = self._parts.accounts.cost
        return self._parts.candidates.cheapest(lambda a: self._prefixes.cost(a) + cost(a.macs))

    def _no_pipeline(self) -> SpecError:
        name = self._parts.store.settings.space_name
        return SpecError(f"the space {name!r} has no pipeline that this study can run. `autokd check` says why.")
