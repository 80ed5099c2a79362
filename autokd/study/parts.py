"""What the parts of a driver share: the study's store and memory, its accounts, and how trials become jobs."""

from __future__ import annotations

from dataclasses import dataclass

from autokd.core.job import Job, JobKind
from autokd.core.record import TrialRecord
from autokd.store.study_store import StudyStore
from autokd.study.accounts import Accounts, Flight
from autokd.study.appraise import Appraisal, Appraiser
from autokd.study.candidates import Candidates
from autokd.study.jobs import JobMaker
from autokd.study.memory import Memory
from autokd.study.places import folder_number
from autokd.study.shapes import needs
from autokd.study.timed_on import TimedOn, as_timed_on, machines


@dataclass(frozen=True)
class Parts:
    """One driver's parts. All of them belong to the same study."""

    store: StudyStore
    memory: Memory
    accounts: Accounts
    candidates: Candidates
    maker: JobMaker
    timed_on: TimedOn

    @property
    def appraiser(self) -> Appraiser:
        return self.maker.appraiser

    @property
    def objectives(self) -> tuple[str, ...]:
        return self.store.settings.objectives

    def comparable(self) -> tuple[TrialRecord, ...]:
        """Every record with the latency of one machine: this driver's, once it has timed anything."""
        records, memory, settings = self.store.records(), self.memory, self.store.settings
        if not needs("latency", settings.objectives, settings.constraints):
            return records
        for machine in machines(memory.machine, records, {}):
            found = as_timed_on(machine, records, memory.shapes, settings.constraints)
            if found == records or any(r.timed_on == machine for r in found):
                return found
        return records

    def by_number(self) -> dict[int, TrialRecord]:
        """Every record under its number, comparable with the others."""
        return {record.number: record for record in self.comparable()}

    def fly(self, job: Job, cost: float, number: int | None = None) -> Job:
        """Charge a job from now on; its forecast is ``cost`` device seconds."""
        self.accounts.take_off(Flight(job, cost, number))
        return job

    def fly_trial(self, number: int, appraisal: Appraisal, cost: float, deadline_seconds: float) -> Job:
        """The job of a trial that is already written down as running."""
        job = self.trial_job(self.by_number()[number], appraisal, deadline_seconds)
        return self.fly(job, cost, number)

    def trial_job(self, record: TrialRecord, appraisal: Appraisal, deadline_seconds: float) -> Job:
        """A trial as a worker gets it."""
        kinds: dict[str, JobKind] = {"confirm": "confirm", "control": "control"}
        return self.maker.trial(
            record.number,
            kinds.get(record.role, "trial"),
            folder_number(record, self.by_number()),
            appraisal.pipeline,
            record.replicate,
            record.forecast_macs,
            deadline_seconds,
        )
