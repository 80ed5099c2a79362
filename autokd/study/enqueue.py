"""Ask a study to try a pipeline: checked now, taken by the driver that runs it, or by the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd import build
from autokd.core.address import load_files
from autokd.core.canonical import digest
from autokd.core.errors import StorageError, UsageError
from autokd.models.remote import trusting
from autokd.space import Space
from autokd.store.study_store import StudyStore
from autokd.study.appraise import PipelineAppraiser
from autokd.study.causes import LOST
from autokd.study.places import Places
from autokd.study.queue import Queue


@dataclass(frozen=True)
class Enqueued:
    """A pipeline that waits in ``file``. ``pipeline`` is resolved; ``params`` None: it lies outside of the space.

    ``running``: a driver has the study now, and will take it before its next proposal.
    """

    file: Path
    pipeline: Mapping[str, Any]
    params: Mapping[str, Any] | None
    running: bool


def enqueue(storage: str, study: str, pipeline: Mapping[str, Any], artifacts: str | None = None) -> Enqueued:
    """Put a pipeline into a study's queue. The study's storage is only read.

    Raises SpecError for a pipeline that cannot run in this study, UsageError for an unknown study, and for a pipeline
    that it has run or that waits already.
    """
    store = StudyStore.open(storage, study, artifacts)
    settings = store.settings
    load_files([Path(path) for path in settings.method_files])
    places = Places(store.files, settings.study)
    with trusting(settings.trust_remote_code):
        resolved = PipelineAppraiser(settings, places.cache).appraise(pipeline).pipeline
    content, queue = digest(resolved), Queue(places.queue)
    for record in store.records():
        if record.confirms is None and digest(record.pipeline) == content and not record.error.startswith(LOST):
            raise UsageError(f"a pipeline is run once, but trial {record.number} of {study!r} has run this one.")
    if any(digest(waiting.pipeline) == content for waiting in queue.waiting()):
        raise UsageError(f"a pipeline waits once, but this one waits for {study!r} already.")
    params = Space.parse(settings.space_text, settings.space_name).encode(resolved, _defaults(settings.teachers[0]))
    return Enqueued(queue.put(resolved, params), resolved, params, _is_running(store))


def _defaults(teacher: str) -> Callable[[str], dict[str, Any]]:
    """Defaults of methods as this study fills them in: a model that is not named is its teacher's."""

    def of(use: str) -> dict[str, Any]:
        found = build.defaults(use)
        return {**found, "model": teacher} if found.get("model") == "auto" else found

    return of


def _is_running(store: StudyStore) -> bool:
    try:
        with store.lock():
            return False
    except StorageError:
        return True
