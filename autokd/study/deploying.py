"""The last jobs of a study: each confirmed result is made into all its forms, scored and timed, with nothing beside."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from autokd.core.job import Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.accounts import Flight
from autokd.study.appraise import Appraisal
from autokd.study.bench_forecast import corrected
from autokd.study.causes import CRASHED
from autokd.study.confirm import shipping
from autokd.study.parts import Parts
from autokd.study.places import folder_number
from autokd.study.plan import Plan
from autokd.study.prefixes import Prefixes
from autokd.study.shapes import teacher_of

_TRIES = 3  # a deployment whose worker dies, or that is not done in its time, is started this often
_FOUND = 1.0  # device seconds below which a deployment cannot have been made: its result was found on disk
_LONGEST = 10.0  # a deployment may take this many times its forecast, where the budget does not end before
_LEFT = 0.2  # of one that was stopped, at least this share of its forecast is still to do


class Deploying:
    """Knows which checkpoints of the result are still to be deployed, what that costs, and starts it."""

    def __init__(self, parts: Parts, prefixes: Prefixes) -> None:
        self._parts, self._prefixes = parts, prefixes
        self._appraisals: dict[int, Appraisal] = {}
        self._tries: Counter[int] = Counter()
        self._given_up: set[int] = set()  # cannot be timed on this machine, and were on another one
        self._begun: Counter[int] = Counter()  # device seconds of earlier tries

    def cost_of(self, record: TrialRecord) -> float:
        """Forecast device seconds of deploying a trial's checkpoint, put right by the deployments that are done."""
        whole = corrected(self._guess(record), self._parts.memory.surprises("deploy"))
        return max(whole - self._begun[record.number], _LEFT * whole)

    def _guess(self, record: TrialRecord) -> float:
        parts = self._parts
        teacher_macs = parts.memory.teacher_macs(teacher_of(record.pipeline))
        macs = record.values.get("macs", teacher_macs)
        return parts.appraiser.deploy_seconds(macs, teacher_macs) * parts.maker.share

    def todo(self, plan: Plan) -> tuple[TrialRecord, ...]:
        """The runs whose checkpoints ship and are not deployed yet, the best first.

        Those are left out whose teacher is gone from disk and cannot be made again.
        """
        parts = self._parts
        found = shipping(plan, parts.by_number(), parts.objectives)
        deployed, here = parts.memory.deployed, parts.timed_on.machine
        done = {number for number, facts in deployed.items() if facts.get("machine", "") == here}
        todo = (r for r in found if str(r.number) not in done and r.number not in self._given_up)
        return tuple(record for record in todo if not self._prefixes.broken(self._appraisal(record)))

    def cost(self, plan: Plan) -> float:
        """Forecast device seconds of the deploying to come: what ships as things stand, and runs that may ship.

        With them the teachers that they are timed beside, where these are gone from disk.
        """
        runs = [record for record in self._parts.store.records() if record.role == "confirm"]
        complete = {record.confirms for record in runs if record.state == "complete"}
        begun = {record.confirms for record in runs if record.state in ("running", "paused")}
        ahead = begun - complete if begun or complete else set(plan.finalists[:1])
        records, todo = self._parts.by_number(), self.todo(plan)
        runs = [*todo, *(records[number] for number in ahead if number is not None)]
        return sum(map(self.cost_of, runs)) + self._prefixes.cost_of(map(self._appraisal, todo))

    def least_cost(self, plan: Plan) -> float:
        """Forecast device seconds of the cheapest of those to do, its teacher included where that is gone from disk."""
        return min(map(self._cost_with_teacher, self.todo(plan)))

    def start(self, plan: Plan, cap: float) -> Job | None:
        """The job that deploys the first of those to do that is forecast to need at most ``cap`` device seconds, which
        it gets; or the one that makes the teacher again that it is timed beside."""
        parts = self._parts
        record = next(record for record in self.todo(plan) if self._cost_with_teacher(record) <= cap)
        appraisal = self._appraisal(record)
        if not self._prefixes.ready(appraisal):
            return self._prefixes.start(appraisal)
        cost = self.cost_of(record)
        seconds = min(_LONGEST * cost, cap) / parts.maker.share
        job = parts.maker.deploy(record, folder_number(record, parts.by_number()), seconds)
        return parts.fly(job, cost, record.number)

    def tell_left(self, plan: Plan) -> None:
        """Note what the budget leaves without a deployment."""
        left = self.todo(plan)
        if left:
            names = ", ".join(r.name or f"trial {r.number if r.confirms is None else r.confirms}" for r in left)
            cost = max(map(self._cost_with_teacher, left))
            self._parts.memory.note_ending(
                f"The budget does not hold deploying {names} (about {cost:.0f} device seconds each): their forms were "
                "not scored and timed. The float checkpoints are whole; `autokd export` makes any form of them."
            )

    def _cost_with_teacher(self, record: TrialRecord) -> float:
        return self.cost_of(record) + self._prefixes.cost(self._appraisal(record))

    def _appraisal(self, record: TrialRecord) -> Appraisal:
        key = record.number
        if key not in self._appraisals:
            self._appraisals[key] = self._parts.appraiser.appraise(record.pipeline)
        return self._appraisals[key]

    def done(self, flight: Flight, outcome: Outcome, seconds: float) -> None:
        """Take a deployment. One that was stopped, or whose worker died, is simply run again, a few times."""
        memory, number = self._parts.memory, flight.number
        assert number is not None
        refused = self._parts.timed_on.refuse(outcome)
        error = refused if outcome.state == "complete" else outcome.error or "it was not done in its time"
        if error:
            self._tries[number] += 1
            lost = bool(refused) or outcome.state == "paused" or error.startswith(CRASHED)
            if lost and self._tries[number] < _TRIES:
                self._begun[number] += int(seconds) if outcome.state == "paused" else 0
                return memory.add_measuring_seconds(seconds)
            memory.note_ending(f"Trial {number} could not be deployed: {error}")
        elif seconds >= _FOUND and not self._tries[number]:
            memory.add_surprise("deploy", seconds / self._guess(self._parts.by_number()[number]))
        made = [] if error else forms(outcome)
        fastest = min(made, key=lambda form: float(form["latency_ms"]))["runtime"] if made else ""
        plain = {name: value for name, value in outcome.values.items() if "/" not in name and not error}
        facts = {"values": plain, "forms": made, "fastest": fastest, "error": error, "device_seconds": seconds}
        facts |= {"teacher": teacher_of(flight.job.spec.pipeline), "machine": self._parts.timed_on.machine}
        before = memory.deployed.get(str(number))
        if before is not None and error:
            self._given_up.add(number)
            return memory.add_measuring_seconds(seconds)
        if before is not None:  # on another machine; what it cost stays spent
            memory.add_measuring_seconds(float(before["device_seconds"]))
        memory.keep_deployed(number, facts)
        for text in outcome.notes:
            memory.note_ending(text)


def forms(outcome: Outcome) -> list[dict[str, Any]]:
    """The forms that a deployment made, as JSON of ``autokd.core.record.Form``, in the order of its values.

    Its values name them ``RUNTIME/FIELD``; ONNX forms lie beside the checkpoint, in folders of their runtimes' names.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in outcome.values.items():
        runtime, slash, field = name.partition("/")
        if slash:
            beside = Path(outcome.checkpoint).parent / runtime
            folder = str(beside) if runtime.startswith("onnx") else outcome.checkpoint
            found.setdefault(runtime, {"runtime": runtime, "folder": folder})[field] = value
    return list(found.values())
