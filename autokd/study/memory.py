"""What a study remembers beside its trials: probe, prefixes, plan, shapes, ledger, notes, result. The store's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd.core.job import Outcome
from autokd.store.study_store import StudyStore
from autokd.study.plan import Plan


class Memory:
    """A thin layer over the store's keys, which are named here and nowhere else."""

    def __init__(self, store: StudyStore) -> None:
        self._store = store

    @property
    def probe(self) -> float | None:
        """Wall seconds per multiply-accumulate of one worker, None before the probe."""
        found = self._store.get("probe")
        return None if found is None else float(found["seconds_per_mac"])

    def keep_probe(self, seconds_per_mac: float, device_seconds: float) -> None:
        self._store.put("probe", {"seconds_per_mac": seconds_per_mac, "device_seconds": device_seconds})

    @property
    def prefixes(self) -> dict[str, dict[str, Any]]:
        """By the prefix's name: ``teacher`` (the base model's name), ``values``, ``device_seconds``, ``done``."""
        found: dict[str, dict[str, Any]] = self._store.get("prefixes", {})
        return found

    def has_prefix(self, name: str) -> bool:
        """Whether this study has made the prefix (or found it made) and knows what it is worth."""
        return bool(self.prefixes.get(name, {}).get("done"))

    @property
    def prefix_rates(self) -> list[float]:
        """Device seconds per multiply-accumulate of the prefixes that were made in one go."""
        return [float(found["rate"]) for found in self.prefixes.values() if found.get("rate")]

    def keep_prefix(self, name: str, teacher: str, outcome: Outcome, device_seconds: float, rate: float = 0.0) -> None:
        before = self.prefixes.get(name, {})
        entry = {
            "rate": 0.0 if before else rate,
            "teacher": teacher,
            "values": dict(outcome.values) or before.get("values", {}),
            "device_seconds": before.get("device_seconds", 0.0) + device_seconds,
            "done": outcome.state == "complete" or before.get("done", False),
        }
        self._store.put("prefixes", {**self.prefixes, name: entry})

    def teacher_macs(self, teacher: str) -> float:
        """Multiply-accumulates of a teacher per example, by its base model's name; 0 before it was made."""
        made = (found["values"] for found in self.prefixes.values() if found["teacher"] == teacher)
        return max((float(values.get("macs", 0.0)) for values in made), default=0.0)

    @property
    def plan(self) -> Plan | None:
        """The finalists, None while the search goes on."""
        found = self._store.get("plan")
        return None if found is None else Plan.from_json(found)

    def keep_plan(self, plan: Plan) -> None:
        self._store.put("plan", plan.to_json())

    @property
    def confirm_limit(self) -> float | None:
        """Device seconds at which confirming ends where only trials are limited, None while the search goes on."""
        found = self._store.get("confirm_limit")
        return None if found is None else float(found)

    def keep_confirm_limit(self, device_seconds: float) -> None:
        self._store.put("confirm_limit", device_seconds)

    @property
    def shapes(self) -> dict[str, dict[str, Any]]:
        """Speed and size of students by their shape; see ``autokd.study.shapes``."""
        found: dict[str, dict[str, Any]] = self._store.get("shapes", {})
        return found

    def keep_shape(self, shape: str, facts: Mapping[str, Any]) -> None:
        """Remember facts of a shape beside those that are known."""
        entry = {**self.shapes.get(shape, {}), **facts}
        if shape and entry != self.shapes.get(shape):
            self._store.put("shapes", {**self.shapes, shape: entry})

    @property
    def machine(self) -> str:
        """The machine whose latencies the study compares; see ``autokd.study.timed_on``."""
        return str(self._store.get("machine", ""))

    def keep_machine(self, machine: str) -> None:
        if machine != self.machine:
            self._store.put("machine", machine)

    @property
    def deployed(self) -> dict[str, dict[str, Any]]:
        """By the number of the run that ships: ``values, forms, fastest, teacher, machine, error, device_seconds``."""
        found: dict[str, dict[str, Any]] = self._store.get("deployed", {})
        return found

    def keep_deployed(self, number: int, facts: Mapping[str, Any]) -> None:
        self._store.put("deployed", {**self.deployed, str(number): dict(facts)})

    def surprises(self, kind: str) -> list[float]:
        """What jobs that measure time took over what had been forecast of them, by kind of job."""
        return [float(ratio) for ratio in self._store.get("surprises", {}).get(kind, ())]

    def add_surprise(self, kind: str, ratio: float) -> None:
        self._store.put("surprises", {**self._store.get("surprises", {}), kind: [*self.surprises(kind), ratio]})

    @property
    def measuring_seconds(self) -> float:
        """Device seconds of latency jobs, and of deployments that came to nothing."""
        return float(self._store.get("measuring_seconds", 0.0))

    def add_measuring_seconds(self, device_seconds: float) -> None:
        self._store.put("measuring_seconds", self.measuring_seconds + device_seconds)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that the reader of the results should know."""
        return tuple(dict.fromkeys([*self._store.get("notes", ()), *self._store.get("ending_notes", ())]))

    def note(self, text: str) -> None:
        self._add_note("notes", text)

    def note_ending(self, text: str) -> None:
        """A note on how the study ended, which is no longer true once it goes on."""
        self._add_note("ending_notes", text)

    def keep_ledger(self, ledger: Mapping[str, float]) -> None:
        self._store.put("ledger", dict(ledger))

    @property
    def result(self) -> dict[str, Any] | None:
        """What the study last ended with, None where it never did; see ``finished``."""
        found: dict[str, Any] | None = self._store.get("result")
        return found

    @property
    def finished(self) -> bool:
        """Whether the study has ended and was not reopened since."""
        return self.result is not None and not self._store.get("reopened", False)

    def keep_result(self, result: Mapping[str, Any]) -> None:
        self._store.put("result", dict(result))
        self._store.delete("reopened")

    def reopen(self) -> None:
        """Go back from a confirming or finished study to a searching one: there is more budget.

        The result stays, for readers, until the next one takes its place.
        """
        if self.result is not None:
            self._store.put("reopened", True)
        # What could not be deployed may be now: the disk has room again, or there is more time.
        self._store.put("deployed", {number: made for number, made in self.deployed.items() if not made["error"]})
        for key in ("plan", "confirm_limit", "ending_notes"):
            self._store.delete(key)

    def _add_note(self, key: str, text: str) -> None:
        notes = self._store.get(key, [])
        if text and text not in notes:
            self._store.put(key, [*notes, text])
