from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from autokd.core.errors import DataError
from autokd.core.task import Split, Task, without_labels
from autokd.tasks.frozen import FILE, freeze, thaw

PAIRS = Split(("one\u2028é", "two"), ("eins", ""), (0, 1))
VALUES = Split(("a", "b"), None, (0.1 + 0.2, 5.0))
CLASSIFICATION = Task("toy", PAIRS, PAIRS, PAIRS, ("no", "yes"), "classification", "f1", ("a note",))
REGRESSION = Task("values", VALUES, VALUES, VALUES, ("value",), "regression", "pearson")
PAIRS_BESIDE = replace(CLASSIFICATION, unlabelled=without_labels(("new",), ("neu",), "classification"))
TEXTS_BESIDE = replace(REGRESSION, unlabelled=without_labels(("c", "d"), None, "regression"))


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION, PAIRS_BESIDE, TEXTS_BESIDE])
def test_thawed_equals_frozen(task: Task, tmp_path: Path) -> None:
    freeze(task, tmp_path / "deep" / "task")
    found = thaw(tmp_path / "deep" / "task")
    assert found == task
    assert found.content == task.content


def test_unlabelled_rows_are_part_of_the_content() -> None:
    assert CLASSIFICATION.content != PAIRS_BESIDE.content


def test_the_same_task_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    freeze(CLASSIFICATION, tmp_path / "task")
    first = (tmp_path / "task" / FILE).read_bytes()
    freeze(CLASSIFICATION, tmp_path / "task")
    assert (tmp_path / "task" / FILE).read_bytes() == first
    assert [path.name for path in (tmp_path / "task").iterdir()] == [FILE]


def test_a_failed_write_leaves_the_old_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("disk full")

    freeze(CLASSIFICATION, tmp_path / "task")
    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        freeze(REGRESSION, tmp_path / "task")
    assert [path.name for path in (tmp_path / "task").iterdir()] == [FILE]
    assert thaw(tmp_path / "task") == CLASSIFICATION


def test_a_changed_task_is_noticed(tmp_path: Path) -> None:
    freeze(CLASSIFICATION, tmp_path / "task")
    value = json.loads(gzip.decompress((tmp_path / "task" / FILE).read_bytes()))
    value["test"]["labels"] = [1, 1]
    (tmp_path / "task" / FILE).write_bytes(gzip.compress(json.dumps(value).encode()))
    with pytest.raises(DataError, match="must not change"):
        thaw(tmp_path / "task")


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b"{")], ids=["empty", "not gzip", "cut"])
def test_a_broken_file_is_a_data_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / FILE).write_bytes(content)
    with pytest.raises(DataError, match="must be readable"):
        thaw(tmp_path / "task")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / FILE).write_bytes(gzip.compress(b'{"schema": 99}'))
    with pytest.raises(DataError, match="schema 99; this version reads 1"):
        thaw(tmp_path / "task")


def test_nothing_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be there"):
        thaw(tmp_path / "task")


def test_a_file_that_unpacks_to_far_more_than_text_can_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(gzip.compress(b" " * (65 * 2**20)))
    with pytest.raises(DataError, match="unpacks to more"):
        thaw(tmp_path)
