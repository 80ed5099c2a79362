"""Latencies of one machine: which one a study compares on, and its records as that machine times them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autokd.core.job import Outcome
from autokd.core.objectives import excesses
from autokd.core.record import TrialRecord
from autokd.study.memory import Memory
from autokd.study.shapes import Shapes, latency_values, teacher_of

ELSEWHERE = "timed on another machine"  # the constraint that a trial breaks whose latency cannot be compared


class TimedOn:
    """The machine on which one driver's latencies are measured.

    ``here`` is the machine of this process, where the workers run on it too; empty for a cluster, whose first
    measurement decides.
    """

    def __init__(self, memory: Memory, here: str) -> None:
        self._memory, self._decided = memory, bool(here)
        if here:
            memory.keep_machine(here)

    @property
    def machine(self) -> str:
        """The machine that latencies are compared on."""
        return self._memory.machine

    def refuse(self, outcome: Outcome) -> str:
        """Why a measurement cannot be used: it comes from another machine. Empty: it can."""
        if outcome.state != "complete" or outcome.timed_on == self.machine:
            return ""
        if not self._decided:
            self._decided = True
            self._memory.keep_machine(outcome.timed_on)
            return ""
        return f"it was timed on {outcome.timed_on!r}, but the study compares latencies of {self.machine!r}"


def as_timed_on(
    machine: str, records: Sequence[TrialRecord], shapes: Shapes, constraints: Sequence[str]
) -> tuple[TrialRecord, ...]:
    """The records with the latencies of one machine.

    Where a trial's shape was not timed on it, the trial breaks a constraint: it stands on no frontier.
    """
    return tuple(_as_timed_on(machine, record, shapes, constraints) for record in records)


def machines(reference: str, records: Sequence[TrialRecord], deployed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The machines that anything was timed on: the reference, then the others, the most used first."""
    used = Counter(record.timed_on for record in records if "latency_ms" in record.values)
    used.update(str(facts.get("machine", "")) for facts in deployed.values())
    return [reference, *(name for name, _ in used.most_common() if name != reference)]


def _as_timed_on(machine: str, record: TrialRecord, shapes: Shapes, constraints: Sequence[str]) -> TrialRecord:
    if "latency_ms" not in record.values or record.timed_on == machine:
        return record
    found = latency_values(shapes, record.shape, teacher_of(record.pipeline), machine)
    if found is None:
        return replace(record, constraints={**record.constraints, ELSEWHERE: 1.0})
    values = {**record.values, **found}
    return replace(record, values=values, constraints=excesses(constraints, values), timed_on=machine)
