"""Toy studies on a virtual clock: whole searches without any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autokd.core.job import Job, Outcome
from autokd.space import Space
from autokd.store.study_store import StudyStore
from autokd.study.candidates import Candidates
from autokd.study.driver import StudyDriver
from autokd.study.finish import write_result
from autokd.study.jobs import JobMaker
from autokd.study.places import Places
from autokd.study.result import Study, snapshot
from autokd.study.simulate import SimulatedRunner, VirtualClock
from autokd.testing.toy import ToyAppraiser, toy_interval, toy_settings, toy_store
from autokd.testing.toy_work import toy_outcome


@dataclass
class ToyStudy:
    """One toy study on disk, and the means to drive it once or several times."""

    storage: str
    name: str
    workers: int
    clock: VirtualClock = field(default_factory=VirtualClock)

    @property
    def store(self) -> StudyStore:
        return StudyStore.open(self.storage, self.name)

    @property
    def places(self) -> Places:
        return Places(self.store.files, self.name)

    def driver(self, store: StudyStore, **changes: Any) -> StudyDriver:
        places = Places(store.files, store.settings.study)
        appraiser = ToyAppraiser(store.settings, places.cache)
        space = Space.parse(store.settings.space_text, "toy")
        maker = JobMaker(store.settings, places, appraiser)
        candidates = Candidates(space, store.settings, appraiser)
        return StudyDriver(store, candidates, maker, clock=self.clock, **changes)

    def run(self, outcome_of: Callable[[Job], Outcome] = toy_outcome, **changes: Any) -> Study:
        """Drive the study to its end, or until ``outcome_of`` raises: that is the driver's sudden death."""
        store = self.store
        driver = self.driver(store, **changes)
        SimulatedRunner(self.workers, self.clock, outcome_of).run(driver, store.settings)
        driver.conclude()
        if not driver.interrupted:
            write_result(store, ToyAppraiser(store.settings, self.places.cache), toy_interval)
        return snapshot(store)


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., ToyStudy]:
    """Makes a toy study: ``toy("2cpu-min", workers=2, ...)``."""

    def make(budget: str, workers: int = 2, **changes: Any) -> ToyStudy:
        storage = str(tmp_path / "studies.journal")  # no tables to make: much faster than a new database
        settings = toy_settings("toy", tmp_path, budget, workers=workers, **changes)
        for folder in (settings.task, *settings.assets.values()):
            Path(folder).mkdir(exist_ok=True)
        toy_store(storage, settings)
        return ToyStudy(storage, "toy", workers)

    return make
