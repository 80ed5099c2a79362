"""A study as one portable file: its records, its frontier's checkpoints, predictions, the frozen task and the teachers.

An imported study lies in a folder of its own with everything that came along, so that nothing in an archive can take
the place of what other studies share. It can be looked at, exported from, recommended from, and resumed; the fine-tuned
teacher and the work of trials that had not ended are made again then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autokd.core.canonical import Json, digest
from autokd.core.errors import AutokdError, StorageError, UsageError
from autokd.core.json_files import write_json
from autokd.core.metric_file import MetricFile
from autokd.core.settings import StudySettings
from autokd.store.files import Location, files_root
from autokd.store.lock import study_lock
from autokd.store.study_store import StudyStore
from autokd.store.transfer import dump, restore, study_names
from autokd.study.archive_file import STUDY, is_safe, unpack, write_archive
from autokd.study.frontier import frontier
from autokd.study.memory import Memory
from autokd.study.places import Places, remove
from autokd.study.relocate import HERE, attached, detached
from autokd.tasks.frozen import FILE as TASK_FILE
from autokd.tasks.frozen import thaw

TASK = "frozen/task"
MODELS = "frozen/models"
_MARK = "imported.json"  # says that a study's folder came out of an archive


@dataclass(frozen=True)
class Carried:
    """What an archive holds, or what came out of it. ``notes`` say what the reader should know."""

    study: str
    file: Path
    size_bytes: int
    n_trials: int
    n_checkpoints: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        return {**vars(self), "file": str(self.file), "notes": list(self.notes)}


def export_study(
    storage: str, study: str, output: Path, artifacts: str | None = None, *, allow_missing: bool = False
) -> Carried:
    """Write a study that nobody runs at the moment into a new file.

    Raises UsageError for an unknown study and a file that exists, StorageError while a driver runs the study or where
    files that it cannot do without are gone; ``allow_missing``: it can do without checkpoints, and a note names them.
    """
    store = StudyStore.open(storage, study, artifacts)
    places = Places(store.files, study)
    with store.lock():
        value = dump(storage, study, artifacts)
        roots = _roots(store.settings, places)
        checkpoints, missing = _checkpoints(store, places)
        if missing and not allow_missing:
            raise StorageError(
                f"an archive holds the checkpoints of a study's students, but of {study!r} {_listed(missing)}; "
                "--allow-missing makes one without."
            )
        files = dict(_files(store, places, checkpoints))
        dropped = [r.number for r in store.records() if r.checkpoint and Path(r.checkpoint) not in checkpoints]
        text = _portable(value, roots, dropped)
        size = write_archive(output, text, sorted(files.items()))
    kept = [folder for folder in checkpoints if folder.name == "checkpoint"]
    notes = [f"Not in the archive: {_listed([folder])}" for folder in missing]
    if store.settings.method_files:
        names = ", ".join(Path(path).name for path in store.settings.method_files)
        notes.append(f"Methods of your own are code and do not travel along: {names}.")
    return Carried(study, output, size, len(store.records()), len(kept), tuple(notes))


def import_study(
    storage: str,
    file: Path,
    name: str | None = None,
    artifacts: str | None = None,
    method_files: tuple[str, ...] = (),
) -> Carried:
    """Bring the study of an archive into a storage, as ``name`` where one is given.

    It is there whole or not at all: a study that was cut short is not listed, and the next import starts over. Code
    never comes out of an archive; ``method_files`` are your own copies of the methods that its study used. Raises
    UsageError where a study of its name exists, StorageError for an archive that is broken, unsafe or of another
    version.
    """
    root = files_root(storage, artifacts)
    if not file.is_file():
        raise UsageError(f"an archive must be a file that exists, but there is none at {str(file)!r}.")
    with _work_folder(root, file) as work:
        value = unpack(file, work)
        settings = _settings(value)
        study = name or settings.study
        if not study.strip() or len(study) > 200 or not study.isprintable():
            raise UsageError(f"a study's name is a short line of text, but got {study[:80]!r}; name it with --as.")
        with study_lock(root, study):
            places = Places(root, study)
            _refuse_taken(storage, study, places)
            changed, notes = _arrived(settings, study, method_files)
            value["attributes"]["settings"] = changed.to_json()
            whole = attached(value, places.folder)
            _check_task(work, whole)
            write_json(work / _MARK, {"file": file.name})
            remove(places.folder)  # what an import that was cut short left
            places.folder.parent.mkdir(parents=True, exist_ok=True)
            work.rename(places.folder)
            try:
                store = restore(storage, whole, artifacts)
            except AutokdError:
                remove(places.folder)
                raise
    n_checkpoints = len(list(places.folder.glob("trials/*/checkpoint")))
    return Carried(study, file, file.stat().st_size, len(store.records()), n_checkpoints, notes)


# ---------------------------------------------------------------------------------------------- export


def _roots(settings: StudySettings, places: Places) -> dict[str, str]:
    """Where a study's files lie, and where they will: its own folder as it is, what it shares under ``frozen``."""
    shared = {path: f"{HERE}/{MODELS}/{index}" for index, path in enumerate(_model_folders(settings))}
    return {**shared, str(Path(settings.task)): f"{HERE}/{TASK}", str(places.folder): HERE}


def _model_folders(settings: StudySettings) -> list[str]:
    return [str(Path(path)) for path in sorted(set(settings.assets.values()))]


def _checkpoints(store: StudyStore, places: Places) -> tuple[set[Path], list[Path]]:
    """Folders of the frontier's and the result's checkpoints in all their forms, and those of them that are gone."""
    result = Memory(store).result or {}
    confirmed = [*result.get("front", ()), *result.get("controls", ())]
    named = [each["checkpoint"] for each in confirmed]
    named += [form["folder"] for each in confirmed for form in each.get("forms", ())]
    named += [record.checkpoint for record in frontier(store.records(), store.settings.objectives)]
    wanted = {Path(path) for path in named if path}
    beside = {path.with_name(form) for path in wanted for form in ("onnx", "onnx-int8") if path.name == "checkpoint"}
    there = {path for path in wanted | beside if _is_model(path) and path.is_relative_to(places.folder)}
    return there, sorted(wanted - there)


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _listed(missing: Sequence[Path]) -> str:
    """What is missing, in half a sentence."""
    first, more = missing[0], len(missing) - 1
    why = "lies outside of the study's folder" if _is_model(first) else "is gone from disk"
    return f"{str(first)!r} {why}" + (f" ({more} more)" if more else "")


def _files(store: StudyStore, places: Places, checkpoints: set[Path]) -> Iterator[tuple[str, Path]]:
    """Every file that travels along, by its name in the archive."""
    settings = store.settings
    if not (Path(settings.task) / TASK_FILE).is_file():
        raise StorageError(f"a study's frozen task must be there, but there is none at {settings.task!r}.")
    for model, place in settings.assets.items():
        if not _is_model(Path(place)):
            raise StorageError(f"a study's base models must be there, but of {model!r} there is none at {place!r}.")
    folders = [(TASK, Path(settings.task))]
    folders += [(f"{MODELS}/{i}", Path(path)) for i, path in enumerate(_model_folders(settings))]
    folders += [(path.relative_to(places.folder).as_posix(), path) for path in sorted(checkpoints)]
    for name, folder in folders:
        for path in sorted(folder.rglob("*")):
            member = f"{name}/{path.relative_to(folder).as_posix()}"
            if path.is_file() and is_safe(member):
                yield member, path
    for record in store.records():
        for text in record.predictions.values() if record.state == "complete" else ():
            for path in Path(text).parent.glob("*.safetensors") if Path(text).is_relative_to(places.folder) else ():
                yield path.relative_to(places.folder).as_posix(), path


def _portable(value: Mapping[str, Any], roots: Mapping[str, str], dropped: list[int]) -> dict[str, Json]:
    """The study's text as it travels: no path of this machine, no checkpoint that stays behind, no cluster."""
    attributes = dict(value["attributes"])
    settings = dict(attributes["settings"])
    settings["method_files"] = [Path(path).name for path in settings["method_files"]]
    settings["address"] = None
    gone = sorted({*attributes.get("dropped_checkpoints", ()), *dropped})
    found: dict[str, Json] = detached({**value, "attributes": {**attributes, "settings": settings}}, roots)
    found["attributes"]["dropped_checkpoints"] = gone
    return found


# ---------------------------------------------------------------------------------------------- import


@contextmanager
def _work_folder(root: Path, file: Path) -> Iterator[Path]:
    """A folder to unpack into, beside the studies' folders; removed where it was not given its place.

    Its name depends on the archive alone, so that what a killed import left is found, and cleared, by the next one.
    """
    key = digest(str(file.absolute()))
    with study_lock(root, f"import of {file}"):
        work = root / "studies" / f".import-{key}"
        remove(work)
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            remove(work)


def _settings(value: Mapping[str, Any]) -> StudySettings:
    try:
        return StudySettings.from_json(value["attributes"]["settings"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"this version of autokd cannot read the study's settings in {STUDY}: {error!r}; a newer one may have "
            "written them."
        ) from error


def _refuse_taken(storage: str, study: str, places: Places) -> None:
    """Raises UsageError where the name is taken, by a study or by files that are no import's leftovers."""
    path = Location.parse(storage).path
    if (path is None or path.is_file()) and study in study_names(storage):
        raise UsageError(f"a study's name is its own, but {study!r} exists; give this one another with --as NAME.")
    if places.folder.exists() and not (places.folder / _MARK).is_file():
        where = str(places.folder)
        raise UsageError(f"the files of {study!r} would go to {where!r}, which holds others; use --as NAME.")


def _arrived(
    settings: StudySettings, study: str, method_files: tuple[str, ...]
) -> tuple[StudySettings, tuple[str, ...]]:
    """The settings for here. What makes a resumed study run code or reach out is taken from the user alone."""
    notes = []
    if settings.method_files and not method_files:
        names = ", ".join(Path(path).name for path in settings.method_files)
        notes.append(f"The study used methods of its author's own ({names}); name your copies with --methods.")
    notes += _own_metric(settings)
    changes: dict[str, Any] = {"study": study, "method_files": method_files, "address": None}
    if getattr(settings, "trust_remote_code", False):
        changes["trust_remote_code"] = False
        notes.append("The study ran remote code of its models; here it is not trusted.")
    return replace(settings, **changes), tuple(notes)


def _own_metric(settings: StudySettings) -> list[str]:
    """A note where the metric is a function in a file here. Raises StorageError where any such file would do."""
    named = MetricFile.parse(settings.metric)
    if named is None:
        return []
    if not named.content:
        raise StorageError(
            f"a metric in a file is named with the file's hash, but the study names {settings.metric!r}."
        )
    return [f"The study's metric is {named.function} of a file of its author's; resuming needs it at {named.path}."]


def _check_task(work: Path, value: Mapping[str, Any]) -> None:
    """Raises StorageError where the archive's task is missing or not the one it was."""
    named = value["attributes"]["settings"]["task"]
    if not named.endswith(f"/{TASK}"):
        raise StorageError(f"an archive's task lies in {TASK}, but its settings name {named!r}.")
    try:
        task = thaw(work / TASK)
    except AutokdError as error:
        raise StorageError(f"the archive's task cannot be read: {error}") from error
    if task.metric != value["attributes"]["settings"]["metric"]:
        raise StorageError("the archive's task and its settings must name one metric, but they name two.")
