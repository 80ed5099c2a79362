"""The study's driver: hands out jobs, takes their outcomes, keeps the books. Runners only carry jobs to workers.

A runner asks ``next_job`` whenever it has a free worker (None: nothing to start now), reports with ``progress`` and
``done``, and calls ``tick`` about once a second until ``finished``. What to start is decided in ``policy``; here the
books are kept. Errors of the study itself are kept too, and raised by ``conclude`` once the workers are quiet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from autokd.core.budget import Budget
from autokd.core.disk import refusal
from autokd.core.errors import AutokdError, StorageError
from autokd.core.job import Job, Outcome, Progress
from autokd.core.record import TrialRecord
from autokd.store.study_store import StudyStore
from autokd.study.accounts import Accounts
from autokd.study.candidates import Candidates
from autokd.study.causes import LOST
from autokd.study.clock import Forward
from autokd.study.forecast import at_least
from autokd.study.frontier import SEARCHED
from autokd.study.jobs import JobMaker
from autokd.study.ledger import binding
from autokd.study.measuring import Landed, Measuring
from autokd.study.memory import Memory
from autokd.study.parts import Parts
from autokd.study.prefixes import Prefixes
from autokd.study.quota import sweep
from autokd.study.recover import charge, queue_unfinished, recover, unmeasured
from autokd.study.settle import keep_trace, settle
from autokd.study.spent import spent_before
from autokd.study.starter import Starter
from autokd.study.timed_on import TimedOn
from autokd.study.view import StudyView, counts, front_points

Listener = Callable[[StudyView], None]
JOURNAL_SECONDS = 10.0
_SHOW_SECONDS = 1.0
_HOPELESS = 6  # so many failed search trials without a complete one end a study


class StudyDriver:
    """Drives one study, which it must hold the lock of. Not made for several threads.

    ``machine`` names what workers time on, empty where they may run elsewhere.
    """

    def __init__(
        self,
        store: StudyStore,
        candidates: Candidates,
        maker: JobMaker,
        listener: Listener = lambda view: None,
        clock: Callable[[], float] = time.monotonic,
        machine: str = "",
    ) -> None:
        self._store, self._maker, self._places = store, maker, maker.places
        self._listener, self._clock = listener, Forward(clock)
        self._memory = Memory(store)
        timed_on = TimedOn(self._memory, machine)
        recover(store, self._places, maker.share)
        budget = Budget.parse(store.settings.budget)
        self._accounts = Accounts(budget, maker.capacity, self._clock, spent_before(store))
        parts = Parts(store, self._memory, self._accounts, candidates, maker, timed_on)
        self._prefixes = Prefixes(parts)
        self._measuring = Measuring(parts, self._prefixes)
        self._starter = Starter(parts, self._prefixes, self._measuring)
        self._unit = budget.limits[0].unit
        self._failure: AutokdError | None = None
        self._interrupted = False
        self._message = ""
        self._journalled = self._shown = -JOURNAL_SECONDS
        self._learn()
        self._sweep()
        for record, outcome in unmeasured(store, self._places):
            self._settle(self._measuring.take_up(record, outcome))
        queue_unfinished(store, self._places, candidates)

    # ------------------------------------------------------------------------------------------ for runners

    @property
    def finished(self) -> bool:
        """Whether there is nothing to run and nothing running."""
        ended = self._failure is not None or self._interrupted or self._starter.over
        return ended and not self._accounts.flights

    def next_job(self) -> Job | None:
        """A job for a free worker, None where nothing can start now."""
        if self._failure is not None or self._interrupted:
            return None
        job = None
        with self._keeping_errors():
            job = self._starter.next_job()
        if job is not None:
            self._show(f"{job.id} started")
        return job

    def progress(self, job_id: str, progress: Progress) -> None:
        """A running job reported a validation score."""
        self._show(f"{job_id}: stage {progress.stage + 1}, step {progress.step}, score {progress.score:.4f}")

    def done(self, job_id: str, outcome: Outcome) -> None:
        """A job came back, whatever became of it; ``outcome.state`` is ``failed`` where its worker died."""
        flight, seconds = self._accounts.land(job_id)
        with self._keeping_errors():
            keep_trace(self._places.trace(job_id), outcome)
            match flight.job.kind:
                case "probe":
                    self._probed(outcome, seconds)
                case "prefix":
                    stopping = self._interrupted or self._failure is not None
                    self._prefixes.done(flight, outcome, seconds, stopping=stopping)
                    self._learn()
                case "latency":
                    self._settle(self._measuring.done(flight, outcome, seconds))
                case "deploy":
                    self._starter.deployed(flight, outcome, seconds)
                case _:
                    self._settle(self._measuring.admit(Landed(flight, outcome, seconds)))
        self._show(f"{job_id} {outcome.state}" + (f": {outcome.error}" if outcome.error else ""))

    def tick(self) -> None:
        """Journal what was spent, and stop jobs for which there is no budget left."""
        if self._failure is not None or self._interrupted:
            self._accounts.stop(tuple(self._accounts.flights))
        else:
            self._accounts.stop_overdrawn()
        if self._clock() - self._journalled >= JOURNAL_SECONDS:
            self._journal()
        if self._clock() - self._shown >= _SHOW_SECONDS:
            self._show(self._message)

    def settled(self) -> bool:
        """Whether there is nothing left to do even before anything has run: a spent study needs no workers."""
        return self._starter.is_over()

    def interrupt(self) -> None:
        """Start nothing more; the next tick asks jobs in flight to save themselves. The study can be resumed.

        Safe in a signal handler: it only says so.
        """
        self._interrupted = True

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def conclude(self) -> None:
        """After the last job: write down what was spent; a study that is over tells its paused trials as pruned.

        Raises what went wrong with the study itself, if something did.
        """
        self._journal()
        for landed in self._measuring.waiting:  # finished, but for a latency: its folder says so
            charge(self._store, self._places, self._record(landed), landed.seconds)
        if self._failure is not None:
            raise self._failure
        if self._interrupted:
            return
        for record in self._store.records():
            if record.state == "paused":
                self._store.finish(record.number, "pruned")
        self._show("done")

    def view(self) -> StudyView:
        """The study as it is now."""
        limit, spent, unit = binding(self._accounts.budget, self._accounts.ledger.spent.of)
        purse = self._accounts.purse()
        return StudyView(
            study=self._store.settings.study,
            phase=self._phase(),
            counts=counts(self._store.records()),
            spent=spent,
            limit=limit,
            unit=unit,
            seconds_left=max(purse.left, 0.0) / self._accounts.capacity,
            front=front_points(self._starter.front()),
            jobs=tuple(self._accounts.flights),
            message=self._message,
        )

    # ------------------------------------------------------------------------------------------ outcomes

    def _probed(self, outcome: Outcome, seconds: float) -> None:
        if outcome.state == "failed":
            raise AutokdError(f"the probe of this machine failed: {outcome.error}")
        if outcome.state == "complete":
            self._memory.keep_probe(float(outcome.values["seconds_per_mac"]), seconds)
            self._learn()

    def _settle(self, trials: Sequence[Landed]) -> None:
        for landed in trials:
            spent = self._accounts.ledger.spent.of(self._unit)
            devices = landed.flight.job.devices
            told = settle(self._store, self._record(landed), landed.outcome, landed.seconds, devices, spent)
            for text in landed.outcome.notes:
                self._memory.note(text)
            if told.state == "complete":
                self._learn()
        self._sweep()
        self._give_up_if_hopeless()

    def _record(self, landed: Landed) -> TrialRecord:
        return next(r for r in self._store.records() if r.number == landed.flight.number)

    def _give_up_if_hopeless(self) -> None:
        searched = [r for r in self._store.records() if r.role in SEARCHED]
        failed = [r for r in searched if r.state == "failed" and not r.error.startswith(LOST)]
        if len(failed) >= _HOPELESS and not any(r.state == "complete" for r in searched):
            raise AutokdError(f"none of {len(failed)} trials could be completed; the last one: {failed[-1].error}")

    def _learn(self) -> None:
        probe = self._memory.probe
        if probe is not None:
            # Fine-tuning a teacher tells more than a few steps do, and never that trials are cheaper.
            self._accounts.probe = at_least(probe * self._maker.share, self._memory.prefix_rates)
            self._accounts.learn(self._store.records())

    # ------------------------------------------------------------------------------------------ inside

    def _sweep(self) -> None:
        """Keep to the checkpoint quota: frontier, finalists, controls, running and paused trials; nothing else."""
        plan = self._memory.plan
        finalists = () if plan is None else plan.finalists
        front = [record.number for record in self._starter.front()]
        sweep(self._store, self._places, {*finalists, *front, *self._measuring.stale})

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        """The study's own errors wait until the workers are quiet."""
        try:
            yield
        except (AutokdError, OSError) as error:
            self._failure = error if isinstance(error, AutokdError) else StorageError(refusal(error))
            self._accounts.stop(tuple(self._accounts.flights))

    def _journal(self) -> None:
        self._journalled = self._clock()
        self._memory.keep_ledger(self._accounts.ledger.to_json())

    def _phase(self) -> str:
        if self._starter.over:
            return "done"
        if self._memory.probe is None:
            return "probe"
        if not self._memory.prefixes:
            return "teacher"
        if any(flight.job.kind == "deploy" for flight in self._accounts.flights.values()):
            return "deploy"
        return "search" if self._memory.plan is None else "confirm"

    def _show(self, message: str) -> None:
        self._message = message
        self._shown = self._clock()
        self._listener(self.view())
