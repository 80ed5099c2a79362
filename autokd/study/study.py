"""Run a study from beginning to end, or go on with one: ``search`` and ``resume``."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from autokd.core.address import load_files
from autokd.core.budget import Budget
from autokd.core.errors import BudgetError, StorageError, UsageError
from autokd.core.settings import DataSource, StudySettings
from autokd.deploy.machine import timing_machine
from autokd.models.remote import trusting
from autokd.space import Space
from autokd.store.files import DEFAULT_STORAGE
from autokd.store.study_store import StudyStore
from autokd.study import machine
from autokd.study.appraise import Appraiser, PipelineAppraiser
from autokd.study.candidates import Candidates
from autokd.study.confirm import Interval
from autokd.study.driver import StudyDriver
from autokd.study.finish import scored_interval, write_result
from autokd.study.jobs import JobMaker
from autokd.study.memory import Memory
from autokd.study.places import Places
from autokd.study.pool import PoolRunner
from autokd.study.prepare import POOL_IS_HERE, Request, RunnerName, prepare
from autokd.study.queue import Queue
from autokd.study.result import Study, snapshot
from autokd.study.seats import find_seats
from autokd.study.view import StudyView

Listener = Callable[[StudyView], None]

_HOW_TO_KEEP = {
    "cpu": "Hide the GPUs to go on (CUDA_VISIBLE_DEVICES=).",
    "gpu": "Go on where there is a GPU, with a budget that does not count CPU time.",
}

__all__ = ["Study", "resume", "search"]


class Runner(Protocol):
    """Carries a driver's jobs to workers until the driver has finished."""

    def run(self, driver: StudyDriver, settings: StudySettings) -> None: ...


def search(
    dataset: str | DataSource,
    budget: str,
    *,
    metric: str | None = None,
    data_dir: str | None = None,
    on_event: Listener = lambda view: None,
    on_start: Callable[[StudySettings], None] = lambda settings: None,
    **options: Any,
) -> Study:
    """Search compression pipelines for a data set within a budget, and return the finished study.

    ``options`` are the other fields of ``autokd.study.prepare.Request``: teacher, space, objectives, constraints,
    max_length, storage, study, workers, runner, seed ... ``on_start`` is told the settings once they are resolved;
    ``on_event`` sees the study as it goes. A study that was interrupted (Ctrl-C) comes back unfinished and can be
    resumed. Raises AutokdError for whatever the user can act on.
    """
    source = DataSource(dataset, data_dir, metric=metric) if isinstance(dataset, str) else dataset
    prepared = prepare(Request(source, budget, **options))
    storage, artifacts = options.get("storage", DEFAULT_STORAGE), options.get("artifacts")
    store = StudyStore.create(storage, prepared.settings, prepared.space.holes, artifacts)
    for note in prepared.notes:
        Memory(store).note(note)
    queue = Queue(Places(store.files, prepared.settings.study).queue)
    for params, pipeline in prepared.begins:
        queue.put(pipeline, params)
    on_start(prepared.settings)
    return run(store, on_event)


def resume(
    study: str,
    *,
    storage: str = DEFAULT_STORAGE,
    artifacts: str | None = None,
    budget: str | None = None,
    runner: RunnerName | None = None,
    workers: int | None = None,
    address: str | None = None,
    on_event: Listener = lambda view: None,
) -> Study:
    """Go on with a study where it stopped, however it stopped. A spent study is returned as it is.

    ``budget`` is a new total, with which a study that confirms or has ended searches on; ``runner``, ``workers`` and
    ``address`` say where to run now (default: as before, within what this machine has). Raises UsageError for an
    unknown study and for a total that a finished study has reached, BudgetError where its kind of device is missing,
    StorageError where another driver runs it.
    """
    store = StudyStore.open(storage, study, artifacts)
    with store.lock():
        memory, settings = Memory(store), store.settings
        old, new = Budget.parse(settings.budget), Budget.parse(budget or settings.budget)
        if memory.finished and set(new.limits) == set(old.limits):
            return snapshot(store)
        if memory.finished and not new.exceeds(old):
            raise UsageError(
                f"a finished study goes on with a larger budget only: that of {study!r} was {old.text!r}, "
                f"but got {new.text!r}."
            )
        require_files(store)
        changed = _changed(settings, budget, runner, workers, address)
        for note in changed[1]:
            memory.note(note)
        if new.exceeds(old):
            memory.reopen()  # first: a kill between the two leaves a study that still takes the larger budget
        if changed[0] != settings:
            store.update_settings(changed[0])
    return run(store, on_event)


def run(store: StudyStore, on_event: Listener = lambda view: None, runner: Runner | None = None) -> Study:
    """Drive a stored study to its end or its interruption. ``runner`` None: the one that the settings name."""
    settings = store.settings
    require_files(store)
    load_files([Path(path) for path in settings.method_files])
    places = Places(store.files, settings.study)
    appraiser = PipelineAppraiser(settings, places.cache)
    chosen = runner or make_runner(settings, places)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the cores are the workers'
    try:
        with store.lock(), trusting(settings.trust_remote_code):
            return drive(store, appraiser, chosen, scored_interval(settings.metric), on_event)
    finally:
        torch.set_num_threads(n_threads)


def require_files(store: StudyStore) -> None:
    """Raises StorageError where the study's task or a base model is not there: another folder holds its work then,
    and trials that rest there would be taken for lost."""
    for path in (store.settings.task, *store.settings.assets.values()):
        if not Path(path).is_dir():
            raise StorageError(
                f"a study goes on where its files are, but of {store.settings.study!r} there is nothing at {path!r} "
                "(--artifacts says where they are)."
            )


def drive(
    store: StudyStore,
    appraiser: Appraiser,
    runner: Runner,
    interval: Interval,
    on_event: Listener = lambda view: None,
    clock: Callable[[], float] = time.monotonic,
) -> Study:
    """Drive a study whose lock is held, with whatever appraises pipelines, runs jobs and makes intervals."""
    settings = store.settings
    places = Places(store.files, settings.study)
    space = Space.parse(settings.space_text, settings.space_name)
    maker = JobMaker(settings, places, appraiser, cores=_cores_each(settings))
    here = "" if settings.address else timing_machine()
    driver = StudyDriver(store, Candidates(space, settings, appraiser), maker, on_event, clock, here)
    with interruptible(driver):
        if not driver.settled():
            runner.run(driver, settings)
    driver.conclude()
    if not driver.interrupted:
        write_result(store, appraiser, interval)
    return snapshot(store)


def make_runner(settings: StudySettings, places: Places) -> Runner:
    """The runner that the settings name."""
    if settings.runner == "pool":
        return PoolRunner(settings.workers, places, machine.visible_gpus() if settings.device == "gpu" else ())
    from autokd.study.ray_tune import RayRunner  # the pool needs no Ray installed

    return RayRunner(places)


@contextmanager
def interruptible(driver: StudyDriver) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) lets workers save themselves; the second one does not wait for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, frame: FrameType | None) -> None:
        if driver.interrupted:
            raise KeyboardInterrupt
        driver.interrupt()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _changed(
    settings: StudySettings,
    budget: str | None,
    runner: RunnerName | None,
    workers: int | None,
    address: str | None,
) -> tuple[StudySettings, tuple[str, ...]]:
    """The settings for going on here and now, and what there is to say about them."""
    parsed = Budget.parse(budget or settings.budget)
    runner = runner or settings.runner
    if runner == "pool" and address is not None:
        raise UsageError(POOL_IS_HERE.format(address))
    where = address or settings.address
    cluster = where if runner == "ray" else None  # a pool's workers are on this machine, whatever ran before
    seats = find_seats(parsed, workers or settings.workers, settings.gpus_per_trial or None, cluster)
    if seats.device != settings.device:
        raise BudgetError(
            f"a study keeps the kind of device that it began on: {settings.study!r} runs on the {settings.device}, "
            f"but with the budget {parsed.text!r} it would go on on the {seats.device} here. "
            + _HOW_TO_KEEP[settings.device]
        )
    found = settings.with_changes(budget=parsed.text, runner=runner, workers=seats.workers, address=where)
    return found, seats.notes


def _cores_each(settings: StudySettings) -> int:
    """CPU cores for each worker: one where they do the training, else an equal share."""
    return 1 if settings.device == "cpu" else max(1, machine.cores() // settings.workers)
