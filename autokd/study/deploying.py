"""The last jobs of a study: each confirmed result is made into all its forms, scored and timed, with nothing beside."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from autokd.core.job import Job, Outcome
from autokd.core.record import TrialRecord
from autokd.study.accounts import Flight
from autokd.study.causes import CRASHED
from autokd.study.confirm import shipping
from autokd.study.parts import Parts
from autokd.study.places import folder_number
from autokd.study.plan import Plan
from autokd.study.shapes import teacher_of

_TRIES = 3  # a deployment whose worker dies, or that is not done in its time, is started this often
_MARGIN = 1.1  # deployments of one study take nearly equal time
_FOUND = 1.0  # device seconds below which a deployment cannot have been made
_LONGEST = 10.0  # a deployment may take this many times its forecast


class Deploying:
    """Knows which checkpoints of the result are still to be deployed, what that costs, and starts it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tries: Counter[int] = Counter()

    @property
    def cost_each(self) -> float:
        """Forecast device seconds of one deployment: the mean of those that are done, before that a measured guess.

        One whose result was found on disk took no time here, and says nothing.
        """
        made = self._parts.memory.deployed.values()
        took = [facts["device_seconds"] for facts in made if not facts["error"] and facts["device_seconds"] >= _FOUND]
        guess = self._parts.appraiser.deploy_seconds * self._parts.maker.share
        return _MARGIN * fmean(took) if took else guess

    def todo(self, plan: Plan) -> tuple[TrialRecord, ...]:
        """The runs whose checkpoints ship and are not deployed yet, the best first."""
        parts = self._parts
        found = shipping(plan, parts.by_number(), parts.objectives)
        return tuple(record for record in found if str(record.number) not in parts.memory.deployed)

    def cost(self, plan: Plan) -> float:
        """Forecast device seconds of the deploying to come: what ships as things stand, and runs that may ship."""
        runs = [record for record in self._parts.store.records() if record.role == "confirm"]
        complete = {record.confirms for record in runs if record.state == "complete"}
        begun = {record.confirms for record in runs if record.state in ("running", "paused")}
        ahead = len(begun - complete) if begun or complete else min(len(plan.finalists), 1)
        return (len(self.todo(plan)) + ahead) * self.cost_each

    def start(self, plan: Plan) -> Job:
        """The job that deploys the first of those to do."""
        parts = self._parts
        records = parts.by_number()
        record = self.todo(plan)[0]
        seconds = _LONGEST * self.cost_each / parts.maker.share
        job = parts.maker.deploy(record, folder_number(record, records), seconds)
        return parts.fly(job, self.cost_each, record.number)

    def done(self, flight: Flight, outcome: Outcome, seconds: float) -> None:
        """Take a deployment. One that was stopped, or whose worker died, is simply run again, a few times."""
        memory, number = self._parts.memory, flight.number
        assert number is not None
        error = "" if outcome.state == "complete" else outcome.error or "it was not done in its time"
        if error:
            self._tries[number] += 1
            lost = outcome.state == "paused" or error.startswith(CRASHED)
            if lost and self._tries[number] < _TRIES:
                return memory.add_measuring_seconds(seconds)
            memory.note_ending(f"Trial {number} could not be deployed: {error}")
        made = forms(outcome)
        fastest = min(made, key=lambda form: float(form["latency_ms"]))["runtime"] if made else ""
        plain = {name: value for name, value in outcome.values.items() if "/" not in name}
        facts = {"values": plain, "forms": made, "fastest": fastest, "error": error, "device_seconds": seconds}
        facts["teacher"] = teacher_of(flight.job.spec.pipeline)
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
