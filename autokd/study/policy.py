"""What a study does next, decided from plain numbers: no clock, no storage, no training.

All money here is device seconds (allocated devices x wall seconds). A study searches until the search's share cannot
hold one more trial, then confirms: further seeds of its finalists, and two controls. Between 20 and 40 % of the budget
is kept for that, and for deploying what was confirmed; more where not even one seed of the controls and one deployment
would fit otherwise. What is left over at the end is spent on more trials, and on one last job that its deadline pauses;
deploying comes last. Whatever measures time starts only where its forecast fits, and ends at the latest where the
budget does, a little overdraft included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

RESERVE_LEAST, RESERVE_MOST = 0.2, 0.4  # shares of the budget kept for confirming
WORTH_FILLING = 0.08  # a remainder above this share of the budget is spent on a last job that its deadline pauses
ALMOST_DONE = 0.02  # jobs that need no more than this share may finish past the limit ...
OVERDRAFT = 1.03  # ... until this multiple of it is spent
VITAL_RUNS = 2.05  # one seed of both controls, and scoring the finalist itself: in costs of the finalist's training
_LEAST_TRIAL = 0.6  # a trial much cheaper than the typical one is no use for filling a budget
_RUNAWAY = 3.0  # a search trial that takes this many times its forecast is paused
_RUNAWAY_SECONDS = 60.0  # forecasts of very short jobs are mostly start-up: give these at least this long


@dataclass(frozen=True)
class Purse:
    """The budget at one moment, in device seconds; ``limit`` is infinite where only trials are counted.

    ``spent`` includes what jobs in flight have used; ``committed`` is what they are still expected to use.
    """

    limit: float
    spent: float
    committed: float = 0.0
    trials_left: float = math.inf

    @property
    def left(self) -> float:
        return self.limit - self.spent

    @property
    def free(self) -> float:
        """What nothing in flight is expected to use."""
        return self.left - self.committed

    @property
    def most(self) -> float:
        """What a job that must end may use: what is left, and the usual overdraft."""
        return self.left + (OVERDRAFT - 1) * self.limit if self.limit < math.inf else math.inf


@dataclass(frozen=True)
class Check:
    """One confirming run that is still to do: a seed of a finalist, or of a control (``name``) of its shape.

    ``cost`` is its forecast; ``group_cost`` that of everything still to do for the same finalist, which must fit
    before the first of it starts (``opened`` says that something of it has). ``vital``: a study has no result
    without it. ``continues`` is the trial that was paused and goes on, None for a new one.
    """

    finalist: int
    name: str
    replicate: int
    cost: float
    group_cost: float
    opened: bool = False
    vital: bool = False
    continues: int | None = None

    @property
    def only_scores(self) -> bool:
        """Whether the run is a search trial's own student, which is trained already."""
        return not self.name and self.replicate == 0


@dataclass(frozen=True)
class Situation:
    """What the decision depends on. ``running`` counts jobs in flight, ``tried`` search trials started so far.

    ``typical`` is the forecast cost of an ordinary trial, ``plan_cost`` that of confirming the present frontier,
    ``vital_cost`` that of the least result: one seed of the controls of whatever may become the best finalist, and one
    deployment (``deploy_each``).
    ``deploys`` counts the confirmed results that are still to be deployed, the cheapest of them for ``deploy_each``;
    ``deploy_cost`` is the forecast of all deploying to come, which nothing else may use once the study confirms
    (before, it is part of ``plan_cost``).
    ``unmeasured``: a finished trial waits for the latency of its shape, to be measured for ``measure_cost``.
    ``alone``: a job runs that must run alone.
    ``closed``: no proposal can be afforded, or none is left. ``fill``: whether the limit is one to be used up.
    """

    purse: Purse
    running: int
    tried: int
    typical: float
    plan_cost: float = 0.0
    vital_cost: float = 0.0
    checks: tuple[Check, ...] = ()
    closed: bool = False
    confirming: bool = False
    fill: bool = True
    deploys: int = 0
    deploy_cost: float = 0.0
    deploy_each: float = 0.0
    unmeasured: bool = False
    measure_cost: float = 0.0
    alone: bool = False


@dataclass(frozen=True)
class Wait:
    """Nothing to start now."""


@dataclass(frozen=True)
class Finish:
    """The study is done."""


@dataclass(frozen=True)
class Confirm:
    """The search's share is used up: choose the finalists."""


@dataclass(frozen=True)
class Try:
    """Start a search trial that costs at most ``most`` (prefix included); ``cap`` bounds what it may really use.

    ``whole`` bounds its cost together with that of its ``VITAL_RUNS``, which it needs if it becomes the best finalist;
    where no trial keeps that, ``needed`` says that one is wanted all the same: the first of a study.
    """

    most: float
    cap: float
    whole: float = math.inf
    needed: bool = False


@dataclass(frozen=True)
class Run:
    """Start a confirming run, which may use at most ``cap``."""

    check: Check
    cap: float


@dataclass(frozen=True)
class Measure:
    """Nothing runs: measure the latency of a shape, which may use at most ``cap``."""

    cap: float


@dataclass(frozen=True)
class Deploy:
    """Nothing runs: deploy the first of the confirmed results that is forecast to need at most ``cap``."""

    cap: float


Decision = Wait | Finish | Confirm | Try | Run | Measure | Deploy


def reserve(limit: float, plan_cost: float, vital_cost: float = 0.0) -> float:
    """What is kept for confirming: the forecast, but at least 20 % and at most 40 % of the limit; in any case what the
    least result needs."""
    if math.isinf(limit):
        return 0.0
    return max(min(max(plan_cost, RESERVE_LEAST * limit), RESERVE_MOST * limit), vital_cost)


def decide(now: Situation) -> Decision:
    """The next thing to do. Jobs that measure time run alone: they wait for all others, and all others for them."""
    if now.alone or (now.unmeasured and now.running):
        return Wait()
    most = now.purse.most if now.fill else math.inf
    if now.unmeasured and now.measure_cost <= most:
        return Measure(most)
    return _confirming(now) if now.confirming else _searching(now)


def _searching(now: Situation) -> Decision:
    kept = reserve(now.purse.limit, now.plan_cost, now.vital_cost)
    room = now.purse.free - kept
    whole, first = now.purse.free - now.deploy_each, now.tried == 0
    fits = min(room, whole / (1 + VITAL_RUNS)) >= _LEAST_TRIAL * now.typical
    if _may_try(now) and (fits or first):
        return Try(max(room, now.typical) if first else room, now.purse.left - kept, whole, first)
    return Wait() if now.running else Confirm()


def _confirming(now: Situation) -> Decision:
    purse = replace(now.purse, spent=now.purse.spent + now.deploy_cost)
    run = _next_run(now, purse)
    if run is not None:
        return run
    if now.fill and _may_try(now) and purse.free >= max(now.typical, WORTH_FILLING / 4 * purse.limit):
        return Try(purse.free, cap=purse.left)
    if now.running:
        return Wait()
    if now.fill and purse.left >= WORTH_FILLING * purse.limit:
        if now.checks:
            return Run(now.checks[0], cap=_with_overdraft(purse))
        if _may_try(now):
            return Try(math.inf, cap=purse.left)
    most = now.purse.most if now.fill else math.inf
    if now.deploys and now.deploy_each <= most:
        return Deploy(most)
    return Finish()


def _next_run(now: Situation, purse: Purse) -> Run | None:
    """The first confirming run that fits into ``purse``, which is without what deploying needs."""
    for check in now.checks:
        needed = check.cost if check.opened else check.group_cost
        # Where only trials are limited nothing is lost by finishing what was begun.
        begun = check.opened and not now.fill
        if needed <= purse.free or begun:
            return Run(check, cap=_with_overdraft(purse))
        if check.vital and now.purse.left > 0:
            # Even what a result cannot do without leaves room for deploying it, where there is room for both.
            return Run(check, cap=_with_overdraft(purse if purse.left > 0 else now.purse))
    # A student that is trained and needs no further seeds only has to be scored: no other one's deployment is worth
    # losing it from the result.
    runs = Counter(check.finalist for check in now.checks)
    for check in now.checks:
        if check.only_scores and runs[check.finalist] == 1 and check.cost <= now.purse.free:
            return Run(check, cap=_with_overdraft(now.purse))
    return None


def _with_overdraft(purse: Purse) -> float:
    """What a confirming run may use: the limit itself is ``must_stop``'s, which lets an almost finished one end."""
    return purse.left + (OVERDRAFT - 1) * purse.limit


def _may_try(now: Situation) -> bool:
    return not now.closed and now.purse.trials_left > 0


def deadline_seconds(cost: float, cap: float, devices: float, *, runaway: bool) -> float:
    """Wall seconds that a job may run: what it may use of the budget, for search trials also a bound on surprises."""
    most = min(cap, max(_RUNAWAY * cost, _RUNAWAY_SECONDS * devices)) if runaway else cap
    return max(most, 0.0) / devices


def must_stop(purse: Purse, remaining: float) -> bool:
    """Whether a job in flight that is expected to need ``remaining`` more has to be paused now."""
    if purse.left > 0 or math.isinf(purse.limit):
        return False
    return remaining > ALMOST_DONE * purse.limit or purse.spent > OVERDRAFT * purse.limit


def n_seeds(
    free: float, seed_cost: float, control_cost: float, most: int = 3, done: Collection[tuple[str, int]] = ()
) -> int:
    """How many seeds one finalist and its two controls can have: ``most`` where that fits, at least one.

    The finalist's first seed is the search trial itself, which only needs scoring. ``done`` are the runs, as name
    (empty: the finalist's own) and replicate, that are complete already and cost nothing any more.
    """
    for n in range(most, 1, -1):
        own = sum(("", replicate) not in done for replicate in range(1, n))
        controls = 2 * n - sum(name != "" and replicate < n for name, replicate in done)
        if own * seed_cost + controls * control_cost <= free:
            return n
    return 1
