"""The studies of a storage, for listings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autokd.store.backend import connect, reported
from autokd.store.files import Location
from autokd.store.trial_codec import to_record


@dataclass(frozen=True)
class StudySummary:
    """One line of a listing. ``states`` counts trials by state; ``created`` is ISO 8601 in UTC."""

    study: str
    task_name: str
    metric: str
    space: str
    objectives: tuple[str, ...]
    budget: str
    states: Mapping[str, int]
    created: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_studies(storage: str) -> tuple[StudySummary, ...]:
    """The studies of autokd in a storage, oldest first; none where its file does not exist yet.

    Studies of other tools in the same storage are left out. Raises StorageError where it cannot be read.
    """
    path = Location.parse(storage).path
    if path is not None and not path.is_file():
        return ()
    backend = connect(storage, create=False)
    found = []
    with reported(storage):
        for study in backend.get_all_studies():
            if "settings" in study.user_attrs:
                trials = backend.get_all_trials(study._study_id, deepcopy=False)
                states = Counter(str(to_record(trial).state) for trial in trials)
                found.append(_summary(study.study_name, study.user_attrs, states))
    return tuple(sorted(found, key=lambda summary: summary.created))


def _summary(study: str, attributes: Mapping[str, Any], states: Mapping[str, int]) -> StudySummary:
    settings = attributes["settings"]
    return StudySummary(
        study=study,
        task_name=settings["task_name"],
        metric=settings["metric"],
        space=settings["space_name"],
        objectives=tuple(settings["objectives"]),
        budget=settings["budget"],
        states=dict(states),
        created=attributes.get("created", ""),
    )
