"""A study in its Optuna storage: the one truth about trials, settings and what the driver wants to remember."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from autokd.core.errors import SpecError, StorageError, UsageError, unknown
from autokd.core.holes import Hole, hole_from_json
from autokd.core.objectives import objective_values
from autokd.core.paths import located, portable
from autokd.core.record import Role, TrialRecord
from autokd.core.record import TrialState as RecordState
from autokd.core.settings import OBJECTIVES, StudySettings
from autokd.store.backend import connect, reported
from autokd.store.distributions import distributions
from autokd.store.files import FOLDERS, Location, files_root, found_artifacts, kept_artifacts
from autokd.store.lock import study_lock
from autokd.store.server_lock import ServerLock, alone, server_lock
from autokd.store.trial_codec import clean, end_attributes, iso, start_attributes, start_constraints, to_record

SCHEMA = 1
_RESERVED = ("schema", "settings", "holes", "artifacts", "dropped_checkpoints")
_ENDED = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class StudyStore:
    """One study: its settings, its records, and JSON values under keys.

    Only the driver writes, holding ``lock()``; everything that it reads comes from memory, and every write goes
    through to the storage before the call returns. Readers see the study as it was when they opened it. Objective
    values are told in the order of ``settings.objectives``. Controls and confirmations are told with their values
    and one broken constraint, so that Optuna's frontier is the search's own. Paths are absolute here, and in the
    storage relative to the folder of files where they lie in it. Not made for several threads.
    """

    def __init__(self, storage: str, backend: BaseStorage, study_id: int, artifacts: str | Path | None) -> None:
        self._storage, self._backend, self._study = storage, backend, study_id
        self._named = artifacts
        self._held: ServerLock | None = None
        self._read()

    def _read(self) -> None:
        """Take over what the storage holds now."""
        with reported(self._storage):
            self._attributes: dict[str, Any] = dict(self._backend.get_study_user_attrs(self._study))
            self._check_schema(self._backend.get_study_name_from_id(self._study))
            trials = self._backend.get_all_trials(self._study, deepcopy=False)
        self._artifacts = artifacts_of(self._storage, self._attributes, self._named)
        self._files = files_root(self._storage, self._artifacts or None)
        self._attributes = located(self._attributes, self._files, FOLDERS)
        self._settings = StudySettings.from_json(self._attributes["settings"])
        self._holes = tuple(hole_from_json(value) for value in self._attributes["holes"])
        self._distributions: dict[str, BaseDistribution] = distributions(self._holes)
        self._ids = {trial.number: trial._trial_id for trial in trials}
        self._records = {trial.number: self._located(to_record(trial)) for trial in trials}
        self._view: tuple[TrialRecord, ...] | None = None

    # ------------------------------------------------------------------------------------------ making and opening

    @staticmethod
    def create(
        storage: str, settings: StudySettings, holes: Sequence[Hole], artifacts: str | Path | None = None
    ) -> StudyStore:
        """A new study named ``settings.study``, whose parameters are the space's ``holes``.

        ``artifacts`` is the folder of its files, which it remembers. Raises UsageError where a study of that name
        exists, StorageError where the storage cannot be written.
        """
        backend = connect(storage, create=True)
        with reported(storage):
            study_id = new_study(backend, settings)
            first = {"schema": SCHEMA, "created": iso(datetime.now(UTC)), "holes": [hole.to_json() for hole in holes]}
            if artifacts is not None:
                first["artifacts"] = kept_artifacts(storage, artifacts)
            found = artifacts_of(storage, first, artifacts)
            told = portable({"settings": settings.to_json()}, files_root(storage, found or None))
            with alone(storage, backend, study_id, settings.study):
                new_study(backend, settings)  # nobody has written to it meanwhile
                # The settings last: a study without them is one whose making was cut short.
                for key, value in {**first, **told}.items():
                    backend.set_study_user_attr(study_id, key, value)
        return StudyStore(storage, backend, study_id, artifacts)

    @staticmethod
    def open(storage: str, study: str, artifacts: str | Path | None = None) -> StudyStore:
        """The study of that name; ``artifacts`` is where its files are now, by default where they were at first.

        Raises UsageError where there is none, StorageError for one of another schema.
        """
        backend = connect(storage, create=False)
        with reported(storage):
            names = {found.study_name: found._study_id for found in backend.get_all_studies()}
        if study not in names:
            raise UsageError(unknown("study", study, names))
        return StudyStore(storage, backend, names[study], artifacts)

    @property
    def storage(self) -> str:
        """The storage as it was named."""
        return self._storage

    @property
    def files(self) -> Path:
        """The folder of checkpoints and caches that belongs to the storage."""
        return self._files

    @property
    def artifacts(self) -> str:
        """The folder that was named for its files, empty where they lie beside the storage."""
        return self._artifacts

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study as its only driver, as it is by then. Raises StorageError where another driver holds it.

        A file beside the storage's own is locked, whatever folder its files are in; on a server, a row of the study.
        """
        name = self._settings.study
        if Location.parse(self._storage).kind != "server":
            with study_lock(files_root(self._storage), name):
                self._read()
                yield
            return
        with ExitStack() as stack:
            with reported(self._storage):
                self._held = stack.enter_context(server_lock(self._backend, self._study, name))
            try:
                self._read()
                yield
            finally:
                self._held = None

    # ------------------------------------------------------------------------------------------ settings and values

    @property
    def settings(self) -> StudySettings:
        """What the study was asked for."""
        return self._settings

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The parameters of the study's space."""
        return self._holes

    def update_settings(self, settings: StudySettings) -> None:
        """Replace the settings (a larger budget, another runner). Study, objectives and space stay as they began."""
        for name in ("study", "objectives", "space_text"):
            if getattr(settings, name) != getattr(self._settings, name):
                raise UsageError(f"a study keeps its {name}, but that of {self._settings.study!r} was to change.")
        self._write("settings", settings.to_json())
        self._settings = settings

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value under a key of the study."""
        if key in _RESERVED:
            raise KeyError(f"the keys {_RESERVED} are the store's own, but got {key!r}")
        self._write(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key, ``default`` where there is none."""
        value = self._attributes.get(key)
        return default if value is None else value

    def delete(self, key: str) -> None:
        """Forget a key. (Optuna cannot remove an attribute; it holds null then, which reads as absent.)"""
        if self._attributes.get(key) is not None:
            self.put(key, None)

    # ------------------------------------------------------------------------------------------ trials

    def records(self) -> tuple[TrialRecord, ...]:
        """Every trial in order of its number; no storage is read."""
        if self._view is None:
            dropped = set(self._attributes.get("dropped_checkpoints", ()))
            shown = (replace(r, checkpoint="") if r.number in dropped else r for r in self._records.values())
            self._view = tuple(sorted(shown, key=lambda record: record.number))
        return self._view

    def start(
        self, pipeline: Mapping[str, Any], params: Mapping[str, Any] | None = None, role: Role = "search", **fields: Any
    ) -> int:
        """Write a running trial and return its number. One write holds all of it, so a kill leaves no half trial.

        ``params`` are those of the space that are active, None for a pipeline outside of it. ``fields`` are further
        ones of TrialRecord: name, confirms, continues, replicate, forecast_macs. Raises SpecError for a parameter
        that the space does not have.
        """
        for name in params or {}:
            if name not in self._distributions:
                raise SpecError(unknown("parameter", name, self._distributions))
        record = TrialRecord(-1, "running", role, dict(pipeline), dict(params or {}), **fields)
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(record.params),
            distributions={name: self._distributions[name] for name in record.params},
            user_attrs=start_attributes(record),
            constraints=start_constraints(record),
        )
        with self._writing():
            trial_id = self._backend.create_new_trial(self._study, template_trial=template)
            number = self._backend.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        self._keep(replace(record, number=number, started=iso(template.datetime_start)))
        return number

    def finish(self, number: int, state: RecordState = "complete", **changes: Any) -> TrialRecord:
        """Tell how a running or paused trial ended, with further fields of its record; the record as it is kept.

        A complete trial that lacks a finite value for an objective is told as failed and says so. Raises
        StorageError for a trial that is not running.
        """
        before = self._open_record(number)
        if state != "failed":  # an error that is there is an earlier sitting's, whose end could not be written
            changes["error"] = ""
        record = replace(before, state=state, ended=iso(datetime.now(UTC)), **clean(changes))
        values = objective_values(self._settings.objectives, record.values) if state == "complete" else None
        if state == "complete" and values is None:
            given = dict(changes.get("values", record.values))
            error = f"a complete trial needs finite values for {list(self._settings.objectives)}, but got {given}."
            record = replace(record, state="failed", error=error)
        constraints = create_trial(state=TrialState.RUNNING, constraints=dict(record.constraints)).system_attrs
        with self._writing():
            for key, value in constraints.items():
                self._backend.set_trial_system_attr(self._ids[number], key, value)
            self._write_trial(number, {**({"error": ""} if before.error else {}), **end_attributes(record)})
            self._backend.set_trial_state_values(self._ids[number], _ENDED[record.state], values)
        return self._keep(record)

    def pause(self, number: int, **changes: Any) -> TrialRecord:
        """Mark a running trial as resting. It stays RUNNING in Optuna; ``checkpoint`` says where it goes on from."""
        record = replace(self._open_record(number), state="paused", **clean(changes))
        with self._writing():
            mark = {"paused": {"checkpoint": record.checkpoint or "none"}}
            self._write_trial(number, {**end_attributes(record), **mark})
        return self._keep(record)

    def mark_running(self, number: int) -> TrialRecord:
        """Mark a paused trial as running again."""
        record = replace(self._open_record(number), state="running")
        with self._writing():
            self._write_trial(number, {"paused": {}})
        return self._keep(record)

    def drop_checkpoint(self, *numbers: int) -> None:
        """Remember that the checkpoints of these trials are gone from disk: their records name none any more."""
        dropped = {*self._attributes.get("dropped_checkpoints", ()), *numbers}
        self._write("dropped_checkpoints", sorted(dropped))
        self._view = None

    # ------------------------------------------------------------------------------------------ inside

    def _open_record(self, number: int) -> TrialRecord:
        if number not in self._records:
            raise StorageError(f"study {self._settings.study!r} has no trial {number}.")
        record = self._records[number]
        if record.state not in ("running", "paused"):
            raise StorageError(f"a trial ends once, but trial {number} is {record.state} already.")
        return record

    def _keep(self, record: TrialRecord) -> TrialRecord:
        record = self._records[record.number] = self._located(record)
        self._view = None
        return record

    def _write_trial(self, number: int, attributes: Mapping[str, Any]) -> None:
        for key, value in portable(attributes, self._files).items():
            self._backend.set_trial_user_attr(self._ids[number], key, value)

    def _write(self, key: str, value: Any) -> None:
        with self._writing():
            self._backend.set_study_user_attr(self._study, key, portable({key: value}, self._files)[key])
        self._attributes[key] = value

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Around what is written, by whoever still holds the study."""
        if self._held is not None:
            self._held.require()
        with reported(self._storage):
            yield

    def _located(self, record: TrialRecord) -> TrialRecord:
        paths = {"checkpoint": record.checkpoint, "predictions": dict(record.predictions)}
        return replace(record, **located(paths, self._files, FOLDERS))

    def _check_schema(self, name: str) -> None:
        found = self._attributes.get("schema")
        if found is None or "settings" not in self._attributes:
            raise StorageError(
                f"the Optuna study {name!r} was not made by autokd, or its making was cut short; in the latter case "
                f"`autokd search --study {name}` begins it again."
            )
        if found != SCHEMA:
            raise StorageError(f"study {name!r} has schema {found}, but this version of autokd reads schema {SCHEMA}.")


def artifacts_of(storage: str, attributes: Mapping[str, Any], named: str | Path | None) -> str:
    """The folder that was named for a study's files, now or at first; empty where they lie beside the storage."""
    return str(Path(named).absolute()) if named else found_artifacts(storage, attributes.get("artifacts", ""))


def new_study(backend: BaseStorage, settings: StudySettings) -> int:
    """Optuna's number of a new study, or of an empty one that a killed driver had only begun to make."""
    directions = [StudyDirection[OBJECTIVES[name].upper()] for name in settings.objectives]
    study = optuna.create_study(storage=backend, study_name=settings.study, directions=directions, load_if_exists=True)
    if "settings" in study.user_attrs or study.directions != directions or study.get_trials(deepcopy=False):
        raise UsageError(
            f"a new study needs a new name, but {settings.study!r} exists; resume it or choose another name."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(settings.objectives))
    return backend.get_study_id_from_name(settings.study)
