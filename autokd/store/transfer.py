"""A study as one JSON value, and back into a storage; and a study's removal. Files on disk are not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from autokd.core.canonical import Json
from autokd.core.errors import AutokdError, StorageError, UsageError, unknown
from autokd.core.holes import hole_from_json
from autokd.core.paths import located, portable
from autokd.core.settings import StudySettings
from autokd.store.backend import connect, reported
from autokd.store.distributions import distributions
from autokd.store.files import FOLDERS, files_root, kept_artifacts
from autokd.store.server_lock import alone
from autokd.store.study_store import SCHEMA, StudyStore, artifacts_of, new_study

_IMPORTING = "importing"  # marks a study whose restoring was begun; its settings, which come last, make it one
_LAST = "settings"
_OF_THE_PLACE = ("artifacts", _IMPORTING)


def study_names(storage: str) -> tuple[str, ...]:
    """Names of the studies of autokd in a storage, sorted. Raises StorageError where it cannot be read."""
    with reported(storage):
        return tuple(sorted(name for name, (_, attributes) in _studies(storage).items() if _LAST in attributes))


def dump(storage: str, study: str, artifacts: str | Path | None = None) -> dict[str, Json]:
    """Everything that a storage holds of a study: ``attributes`` (settings among them) and ``trials`` by number.

    Its paths are absolute. Raises UsageError for an unknown study.
    """
    backend = connect(storage, create=False)
    with reported(storage):
        found = _studies(storage, backend)
        if study not in found or _LAST not in found[study][1]:
            raise UsageError(unknown("study", study, study_names(storage)))
        number, attributes = found[study]
        trials = [_trial_json(trial) for trial in backend.get_all_trials(number, deepcopy=False)]
    kept = {key: value for key, value in attributes.items() if key not in _OF_THE_PLACE}
    root = files_root(storage, artifacts_of(storage, attributes, artifacts) or None)
    whole: dict[str, Json] = located({"attributes": kept, "trials": trials}, root, FOLDERS)
    return whole


def restore(storage: str, value: Mapping[str, Json], artifacts: str | Path | None = None) -> StudyStore:
    """Write a dumped study into a storage, whole or so that nobody takes it for one.

    Raises UsageError where a study of its name exists, StorageError for a value of another schema or form.
    """
    attributes, trials = _checked(portable(value, files_root(storage, artifacts)))
    settings = StudySettings.from_json(attributes[_LAST])
    backend = connect(storage, create=True)
    if artifacts is not None:
        attributes["artifacts"] = kept_artifacts(storage, artifacts)
    with reported(storage):
        _clear_leftover(storage, backend, settings.study)
        number = new_study(backend, settings)
        with alone(storage, backend, number, settings.study):
            new_study(backend, settings)  # nobody has written to it meanwhile
            backend.set_study_user_attr(number, _IMPORTING, True)
            for trial in trials:
                backend.create_new_trial(number, template_trial=trial)
            for key in sorted(attributes, key=lambda key: key == _LAST):
                backend.set_study_user_attr(number, key, attributes[key])
    return StudyStore.open(storage, settings.study, artifacts)


def erase(storage: str, study: str) -> None:
    """Remove a study and its trials from a storage. Raises UsageError for an unknown one."""
    backend = connect(storage, create=False)
    with reported(storage):
        found = _studies(storage, backend)
        if study not in found:
            raise UsageError(unknown("study", study, found))
        backend.delete_study(found[study][0])


def _studies(storage: str, backend: BaseStorage | None = None) -> dict[str, tuple[int, Mapping[str, Any]]]:
    backend = backend or connect(storage, create=False)
    return {study.study_name: (study._study_id, study.user_attrs) for study in backend.get_all_studies()}


def _clear_leftover(storage: str, backend: BaseStorage, study: str) -> None:
    """Remove what an import that was cut short left under this name."""
    number, attributes = _studies(storage, backend).get(study, (0, {}))
    if _IMPORTING in attributes and _LAST not in attributes:
        with alone(storage, backend, number, study):
            backend.delete_study(number)


def _trial_json(trial: FrozenTrial) -> dict[str, Json]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "params": dict(trial.params),
        "values": trial.values,
        "user": dict(trial.user_attrs),
        "system": dict(trial.system_attrs),
        "started": _time_text(trial.datetime_start),
        "ended": _time_text(trial.datetime_complete),
    }


def _checked(value: Mapping[str, Json]) -> tuple[dict[str, Json], list[FrozenTrial]]:
    """Attributes and trials of a dumped study. Raises StorageError where they are not what ``dump`` writes."""
    try:
        attributes = dict(value["attributes"])
        if attributes.get("schema") != SCHEMA:
            found = attributes.get("schema")
            raise StorageError(f"the study has schema {found}, but this version of autokd reads schema {SCHEMA}.")
        StudySettings.from_json(attributes[_LAST])
        known = distributions(hole_from_json(hole) for hole in attributes["holes"])
        numbers = [trial["number"] for trial in value["trials"]]
        if numbers != list(range(len(numbers))):
            raise ValueError("its trials are not numbered one after the other")
        return attributes, [_trial(trial, known) for trial in value["trials"]]
    except AutokdError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"the text of a study must be one that autokd wrote, but it is not: {error!r}.") from error


def _trial(value: Mapping[str, Json], known: Mapping[str, Any]) -> FrozenTrial:
    params = dict(value["params"])
    trial = create_trial(
        state=TrialState[value["state"]],
        values=value["values"],
        params=params,
        distributions={name: known[name] for name in params},
        user_attrs=dict(value["user"]),
        system_attrs=dict(value["system"]),
    )
    trial.datetime_start = _time(value["started"])
    trial.datetime_complete = _time(value["ended"])
    return trial


def _time_text(moment: datetime | None) -> str:
    """ISO 8601 with its zone; Optuna's own times are local ones without."""
    return "" if moment is None else moment.astimezone().isoformat()


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None) if text else None
