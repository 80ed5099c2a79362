"""Disks that are full or that cannot be written to: real ones, of a few kilobytes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import StorageError
from autokd.store.study_store import StudyStore
from autokd.testing.toy import toy_settings, toy_store
from tests.cli.refusals import check_kept, check_line, state

_LARGER = ["+20000"]
_TRAIN = ["train", "{bad}/plain.json", "--dataset", "mine.csv", "--teacher", "teacher", "--output", "{disk}/student"]
_SEARCH = ["search", "--dataset", "mine.csv", "--teacher", "teacher", "--space", "small.yaml", "--budget", "2trials"]
_SEARCH += ["--runner", "pool", "--workers", "1", "-q", "--study", "full"]
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@dataclass(frozen=True)
class Small:
    """Commands one after the other on a disk of so many kilobytes. The first must fail and say that it is full."""

    name: str
    size_kb: int
    commands: tuple[list[str], ...]
    left: str = ""  # what must not be there afterwards


def _searched(storage: str, size_kb: int) -> Small:
    where = ["--storage", f"{{disk}}/{storage}"]
    show, resume = ["studies", "show", "full", "--json", *where], ["resume", "full", "--json", "-q", *where]
    return Small(f"{storage} {size_kb}", size_kb, ([*_SEARCH, *where], show, _LARGER, resume, show))


READ_ONLY = Small("read-only", 0, ([*_SEARCH, "--storage", "{disk}/studies.journal"],))
ONCE = [
    *(Small(f"train {size_kb}", size_kb, (_TRAIN,), "student/model.safetensors") for size_kb in (8, 80, 120, 200)),
    Small("export", 60, (["export", "first", "--output", "{disk}/x"],), "x"),
    Small("predict", 8, (["predict", "{bad}/student", "--input", "mine.csv", "--output", "{disk}/x.csv"],), "x.csv"),
    Small("convert", 20, (["convert", "{bad}/only_bin", "--output", "{disk}/x"],), "x"),
    Small("archive", 60, (["studies", "export", "first", "--output", "{disk}/x.zip"],), "x.zip"),
    Small("report", 60, (["report", "first", "--output", "{disk}/x.html"],), "x.html"),
]
# At these sizes a search ends in a trial, in confirming, in marking the teacher's folder, and in saving the teacher.
SEARCHED = [
    *(_searched("studies.db", size_kb) for size_kb in (450, 700)),
    *(_searched("studies.journal", size_kb) for size_kb in (76, 100)),
]


@pytest.fixture(scope="module")
def ran(kept: Path, bad: Path) -> dict[str, list[dict[str, Any]]]:
    """What every command of the tables printed, all of them run in one process with file systems of its own."""
    tried = subprocess.run([*_NAMESPACE, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no file system can be mounted, not even in a user namespace: {tried.stderr.strip()}")
    cases = [READ_ONLY, *ONCE, *SEARCHED]
    asked = [
        {
            "size_kb": case.size_kb,
            "commands": [[word.replace("{bad}", str(bad)) for word in command] for command in case.commands],
        }
        for case in cases
    ]
    before = state(kept)
    found = subprocess.run(
        [*_NAMESPACE, sys.executable, "-m", "tests.cli.on_small_disks"],
        input=json.dumps(asked),
        cwd=kept,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    check_kept(before, kept)
    return {case.name: told for case, told in zip(cases, json.loads(found.stdout), strict=True)}


@pytest.mark.parametrize("case", ONCE, ids=lambda case: case.name.replace(" ", "-"))
def test_a_full_disk_is_named_and_nothing_half_written_is_left(
    case: Small, ran: dict[str, list[dict[str, Any]]]
) -> None:
    (first,) = ran[case.name]
    check_line(first["err"], ("the disk is full",))
    assert (first["code"], first["out"]) == (1, "")
    assert case.left not in first["files"]


@pytest.mark.parametrize("case", SEARCHED, ids=lambda case: case.name.replace(" ", "-"))
def test_a_search_on_a_full_disk_keeps_what_it_has_and_goes_on_with_more_room(
    case: Small, ran: dict[str, list[dict[str, Any]]]
) -> None:
    stopped, shown, _, resumed, after = ran[case.name]
    check_line(stopped["err"], ("the disk is full",))
    assert (stopped["code"], stopped["out"]) == (1, "")
    trials, later = (json.loads(each["out"])["trials"] for each in (shown, after))
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert [later[trial["number"]] for trial in complete] == complete
    failed = [trial for trial in trials if trial["state"] == "failed"]
    assert all("the disk is full" in trial["error"] for trial in failed)
    assert resumed["code"] == 0, resumed["err"]


@contextmanager
def _largest_file(n_bytes: int) -> Iterator[None]:
    """Within, no file of this process can grow beyond that size: what fits is written, then the kernel refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_in_the_middle_of_a_line_costs_a_journal_that_line_only(tmp_path: Path) -> None:
    storage = str(tmp_path / "studies.journal")
    store = toy_store(storage, toy_settings("toy", tmp_path, "3trials"))
    number = store.start({"stages": []}, {"layers": 1})
    with _largest_file(Path(storage).stat().st_size + 20), pytest.raises(StorageError, match="too large"):
        store.put("notes", ["x" * 100])
    store.put("notes", ["y"])
    found = StudyStore.open(storage, "toy")
    assert [record.number for record in found.records()] == [number]
    assert found.get("notes") == ["y"]


def test_a_disk_that_cannot_be_written_to_is_no_storage(ran: dict[str, list[dict[str, Any]]]) -> None:
    (first,) = ran["read-only"]
    check_line(first["err"], ("a folder that can be written to", "Read-only", "--storage"))
    assert (first["code"], first["out"]) == (1, "")
