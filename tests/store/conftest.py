"""Studies to store things in."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from autokd.core.holes import Choice, Hole, Range
from autokd.core.settings import DataSource, StudySettings
from autokd.store import StudyStore

HOLES: tuple[Hole, ...] = (
    Choice("student", ("cut", "load")),
    Choice("dropout", (None, 0.0, 0.1)),
    Range("lr", 1e-5, 1e-3, log=True),
    Range("layers", 1, 4, integer=True),
)


@pytest.fixture
def holes() -> tuple[Hole, ...]:
    return HOLES


@pytest.fixture
def settings() -> StudySettings:
    return StudySettings(
        study="first",
        data=DataSource("rte"),
        task="/data/tasks/x",
        task_name="rte",
        metric="accuracy",
        space_name="basics",
        space_text="stages: []",
        teachers=("minilm",),
        assets={"minilm": "/data/minilm"},
        budget="10trials",
    )


@pytest.fixture(params=["sqlite:///studies/autokd.db", "studies/autokd.journal"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(storage: str, settings: StudySettings) -> StudyStore:
    return StudyStore.create(storage, settings, HOLES)


@pytest.fixture
def make(settings: StudySettings) -> Callable[..., StudyStore]:
    """Makes a study in a journal file, with other settings where they are given."""

    def made(**changes: Any) -> StudyStore:
        return StudyStore.create("studies/made.journal", replace(settings, **changes), HOLES)

    return made


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python process and waits for its first line; what still runs at the end of the test is killed."""
    started = []

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *arguments]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.send_signal(signal.SIGKILL)
        child.communicate()
