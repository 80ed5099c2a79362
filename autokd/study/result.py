"""A study read from its storage as one frozen value. Needs no torch: reports and listings read studies too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.budget import Budget
from autokd.core.record import Finalist, Teacher
from autokd.core.result import StudyResult
from autokd.store.files import DEFAULT_STORAGE, redacted
from autokd.store.importance import importances
from autokd.store.study_store import StudyStore
from autokd.study.ledger import binding
from autokd.study.memory import Memory
from autokd.study.spent import measured_seconds, spent_before
from autokd.study.view import STATES


@dataclass(frozen=True)
class BudgetUse:
    """The limit of which the largest share is used: ``limit`` and ``spent`` in ``unit``, as the user wrote it."""

    limit: float
    spent: float
    unit: str


@dataclass(frozen=True)
class Study(StudyResult):
    """A snapshot of a study. ``finished``: its budget is spent and its front is confirmed; else it can be resumed.

    ``artifacts`` is the folder that was named for its files, empty where they lie beside the storage.
    """

    finished: bool = False
    artifacts: str = ""

    @property
    def states(self) -> Mapping[str, int]:
        """How many trials there are in each state."""
        found = Counter(record.state for record in self.records)
        return {state: found[state] for state in STATES}

    @property
    def budget(self) -> BudgetUse:
        """What was allowed and what was spent."""
        limit, spent, unit = binding(Budget.parse(self.settings.budget), self.spent.__getitem__)
        return BudgetUse(limit, spent, unit)


def read_result(storage: str = DEFAULT_STORAGE, study: str = "", artifacts: str | Path | None = None) -> Study:
    """The study of that name as it is now. Raises UsageError where there is none."""
    return snapshot(StudyStore.open(storage, study, artifacts))


def snapshot(store: StudyStore) -> Study:
    """The study as its store knows it."""
    memory, spent = Memory(store), spent_before(store)
    result = memory.result or {}
    return Study(
        settings=store.settings,
        records=store.records(),
        teacher=_teacher(memory, result),
        front=tuple(Finalist.from_json(value) for value in result.get("front", ())),
        controls=tuple(Finalist.from_json(value) for value in result.get("controls", ())),
        spent={unit: spent.of(unit) for unit in ("gpu", "cpu", "wall", "trials")},
        shared_seconds=sum(float(made["device_seconds"]) for made in memory.prefixes.values()),
        deploy_seconds=measured_seconds(store),
        importances=result["importances"] if "importances" in result else importances(store),
        notes=memory.notes,
        storage="" if store.storage == DEFAULT_STORAGE else redacted(store.storage),
        finished=memory.finished,
        artifacts=store.artifacts,
    )


def _teacher(memory: Memory, result: Mapping[str, Any]) -> Teacher | None:
    """The teacher of the best finalist, or the first that was made."""
    made = {name: found for name, found in memory.prefixes.items() if found["done"] and found["values"]}
    if not made:
        return None
    chosen = made.get(result.get("prefix", ""), next(iter(made.values())))
    values = {name: chosen["values"][name] for name in ("valid_score", "test_score", "params", "macs")}
    return Teacher(name=chosen["teacher"], **values, **result.get("teacher", {}))
