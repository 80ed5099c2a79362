from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks.load import load_task


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [f"row {i},{('no', 'yes')[i % 2]}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    return tmp_path


def load(data: Path, file: str, content: str, **changes: Any) -> Task:
    (data / file).write_text(content)
    return load_task(DataSource(str(data / "mine.csv"), unlabelled=str(data / file), **changes), seed=0)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("more.csv", "id,text\n1,new one\n2,new two\n"),
        ("more.tsv", "text\nnew one\nnew two\n"),
        ("more.txt", "new one\nnew two\n"),
        ("more.csv", "anything\nnew one\nnew two\n"),
        ("more.jsonl", '{"text": "new one"}\n{"text": "new two"}\n'),
    ],
)
def test_texts_of_any_kind_of_file(data: Path, file: str, content: str) -> None:
    task = load(data, file, content)
    assert task.unlabelled is not None
    assert (task.unlabelled.text_a, task.unlabelled.labels) == (("new one", "new two"), (-100, -100))
    assert f"2 rows of {file} are labelled by the teacher alone." in task.notes
    assert task.n_unlabelled == 2


def test_rows_that_are_empty_or_held_out_are_left_out_with_a_note(data: Path) -> None:
    plain = load_task(DataSource(str(data / "mine.csv")), seed=0)
    held = [plain.valid.text_a[0], plain.test.text_a[0]]
    rows = ["new", "", f" {held[0]} ", held[1], plain.train.text_a[0]]
    task = load(data, "more.jsonl", "\n".join(json.dumps({"text": text}) for text in rows))
    assert task.unlabelled is not None
    assert task.unlabelled.text_a == ("new", plain.train.text_a[0])
    assert task.notes[-2:] == (
        "1 rows of more.jsonl without any text were left out.",
        "2 rows of more.jsonl also occur in validation or test and were left out.",
    )
    assert task.content != plain.content
    assert (task.train, task.valid, task.test) == (plain.train, plain.valid, plain.test)


def test_the_users_columns_name_the_texts(data: Path) -> None:
    lines = [f"row {i},more {i},{i % 2}" for i in range(60)]
    (data / "mine.csv").write_text("q,a,label\n" + "\n".join(lines) + "\n")
    columns = {"text_column": "q", "text_pair_column": "a"}
    task = load(data, "more.csv", "text,a,q\nx,answer,question\n", **columns)
    assert task.unlabelled is not None
    assert (task.unlabelled.text_a, task.unlabelled.text_b) == (("question",), ("answer",))
    with pytest.raises(UsageError, match=r"columns of the labelled ones \(q and a\), but '.*more.csv' has b, c"):
        load(data, "more.csv", "b,c\nx,y\n", **columns)


def test_regression_marks_missing_labels_as_no_number(data: Path) -> None:
    (data / "mine.csv").write_text("text,label\n" + "".join(f"row {i},{i / 7}\n" for i in range(60)))
    task = load(data, "more.txt", "new\n")
    assert task.unlabelled is not None
    assert math.isnan(task.unlabelled.labels[0])


def test_nothing_new_is_an_error(data: Path) -> None:
    plain = load_task(DataSource(str(data / "mine.csv")), seed=0)
    with pytest.raises(DataError, match="must be new ones, but none of 1 rows"):
        load(data, "more.txt", plain.test.text_a[0])


def test_a_file_that_is_not_there(data: Path) -> None:
    with pytest.raises(UsageError, match=r"a data file must exist, but there is none at none.csv"):
        load_task(DataSource(str(data / "mine.csv"), unlabelled="none.csv"), seed=0)


def test_a_place_is_named_once(data: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.csv")
    with pytest.raises(UsageError) as refused:
        load_task(DataSource(missing, data_dir=str(data)), seed=0)
    assert str(refused.value).count(missing) == 1
