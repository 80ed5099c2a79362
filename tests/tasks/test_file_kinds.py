"""Every kind of file gives the same task, and every broken one a single clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from autokd.core.errors import DataError, UsageError
from autokd.core.settings import DataSource
from autokd.tasks.load import load_task
from autokd.tasks.tables import read_table


def rows(n: int = 60, start: int = 0) -> list[dict[str, Any]]:
    return [{"text": f"row {i}", "label": ("no", "yes")[i % 2]} for i in range(start, start + n)]


def write_jsonl(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in found) + "\n")


def write_parquet(path: Path, found: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(found), path)


def write_separated(path: Path, found: list[dict[str, Any]]) -> None:
    mark = {".tsv": "\t", ".csv": ","}[path.suffix]
    path.write_text("\n".join(mark.join(map(str, row)) for row in [found[0].keys(), *(r.values() for r in found)]))


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    ".csv": write_separated,
    ".tsv": write_separated,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
}


def load(path: Path, **changes: Any) -> Any:
    return load_task(DataSource(str(path), **changes), seed=0)


def test_every_kind_of_file_gives_the_same_task(tmp_path: Path) -> None:
    for suffix, write in WRITERS.items():
        write(tmp_path / f"mine{suffix}", rows())
    found = {suffix: load(tmp_path / f"mine{suffix}") for suffix in WRITERS}
    assert len({task.content for task in found.values()}) == 1
    assert {task.name for task in found.values()} == {"mine"}


def test_a_folder_may_mix_kinds(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", rows(40))
    write_jsonl(tmp_path / "dev.jsonl", rows(10, 100))
    write_separated(tmp_path / "test.csv", rows(12, 200))
    task = load(tmp_path)
    assert (len(task.train), len(task.valid), len(task.test)) == (40, 10, 12)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("labels", "names", "problem"),
    [
        ((0, 1), ("0", "1"), "classification"),
        ((False, True), ("False", "True"), "classification"),
        ((0.0, 2.0), ("0", "2"), "classification"),
        ((0.5, 2.0), ("value",), "regression"),
    ],
)
def test_labels_of_any_type(
    suffix: str, labels: tuple[Any, ...], names: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    found = [{"text": f"row {i}", "label": labels[i % 2]} for i in range(60)]
    WRITERS[suffix](tmp_path / f"mine{suffix}", found)
    task = load(tmp_path / f"mine{suffix}")
    assert (task.label_names, task.problem) == (names, problem)
    if problem == "regression":
        assert set(task.train.labels) == {0.5, 2.0}


def test_parquet_keeps_the_names_of_classes(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    values = {"text": [f"row {i}" for i in range(60)], "label": [i % 2 for i in range(60)]}
    Dataset.from_dict(values, features=features).to_parquet(tmp_path / "mine.parquet")
    task = load(tmp_path / "mine.parquet")
    assert task.label_names == ("neg", "pos")


def test_rows_of_json_may_lack_cells_and_texts_may_be_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 7, "label": "a"}\n\n{"label": "b", "text": null}\n{"label": "c"}\n')
    table = read_table(tmp_path / "a.jsonl")
    assert table.column("text") == ("7", "", "")
    assert table.lines == (1, 3, 4)


def test_half_a_character_in_json_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "so \\ud83d bad", "label": "a"}\n')
    assert read_table(tmp_path / "a.jsonl").column("text") == ("so \ufffd bad",)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_rows_without_label_are_named(suffix: str, nothing: Any, tmp_path: Path) -> None:
    found = [{"text": f"row {i}", "label": nothing if i in (4, 7) else i / 2} for i in range(60)]
    WRITERS[suffix](tmp_path / f"mine{suffix}", found)
    with pytest.raises(DataError, match=r"label in column 'label', but 2 have none \(first: (line|row) 5\)"):
        load(tmp_path / f"mine{suffix}")


def test_nan_in_a_csv_is_no_label(tmp_path: Path) -> None:
    found = [{"text": f"row {i}", "label": "nan" if i == 3 else i / 2} for i in range(60)]
    write_separated(tmp_path / "mine.csv", found)
    with pytest.raises(DataError, match=r"1 have none \(first: line 5\)"):
        load(tmp_path / "mine.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "every line holds one JSON object, but line 2: Expecting value"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "every line holds one JSON object, but line 2 holds a list"),
        ("a.jsonl", b"\n", "at least one row"),
        ("a.jsonl", b'{"text": "\xff"}\n', r"UTF-8 text, but .* is not at byte 10 \(line 1\)"),
        ("a.parquet", b"PAR1 but broken", "must be readable parquet, but .* is not: "),
        ("a.parquet", b"", "must be readable parquet, but .* is not: "),
        ("a.txt", b"\n \n", "at least one row"),
        ("a.json", b"[]", "at least one row"),
        ("a.json", b'{"text": ["a", "b"], "label": ["x", "y"]}', "is one object whose 'text' holds more of them"),
        ("a.json", b'{"rows": [{"text": "a"}]}', "one array of objects, .* is one object whose 'rows' holds"),
        ("a.json", b'[{"text": "a"}, 3]', "a JSON array of rows holds objects, but row 2 is of type int"),
        ("a.json", b'[{"text": "a"}', "is not valid JSON: "),
        ("a.json", b'{"rows": [\n]}', r"line 1: .*\(a .json file may also be one array of objects\)"),
    ],
)
def test_a_broken_file_is_one_clear_error(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    texts, labels = pa.array(["a", "b"]), pa.array(["x", "y"])
    pq.write_table(pa.Table.from_arrays([texts, texts, labels], ["text", "text", "label"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column names must differ, but they are text, text, label"):
        read_table(tmp_path / "a.parquet")


def test_a_parquet_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.parquet' is not: no such file\."):
        read_table(tmp_path / "none.parquet")


def test_cells_that_hold_lists_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "mine.jsonl", [{"text": f"row {i}", "label": [1, 2]} for i in range(30)])
    with pytest.raises(DataError, match="'label' must hold one text or number a row, but line 1 holds a list"):
        load(tmp_path / "mine.jsonl")


def test_another_suffix_lists_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "mine.xlsx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"must end in one of \.tsv, \.csv, .*\.parquet, but got '.*mine.xlsx'"):
        read_table(tmp_path / "mine.xlsx")


def test_a_held_out_file_without_any_label_is_not_used(tmp_path: Path) -> None:
    write_separated(tmp_path / "train.csv", rows(60))
    write_jsonl(tmp_path / "test.jsonl", [{"text": "secret", "label": None}])
    task = load(tmp_path)
    assert "the test split has no labels and is not used." in task.notes


def test_a_folder_without_train_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("x")
    with pytest.raises(DataError, match=r"needs a file 'train' \(\.tsv, .*\), but .* has .*notes\.csv"):
        load(tmp_path)
    write_separated(tmp_path / "test.csv", rows(10))
    with pytest.raises(DataError, match=r"learnt from needs a split 'train', but .* has test\."):
        load(tmp_path)


def test_a_json_array_is_read_like_json_lines(tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text("\n".join(json.dumps(row) for row in rows()) + "\n")
    (tmp_path / "array.json").write_text(json.dumps(rows(), indent=2))
    assert load(tmp_path / "array.json").content == load(tmp_path / "lines.json").content
    (tmp_path / "half.json").write_text('[{"text": "so \\ud83d bad", "label": "a"}]')
    assert read_table(tmp_path / "half.json").column("text") == ("so \ufffd bad",)


def test_rows_of_an_array_are_named_by_their_number(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps([{"text": "a", "label": "x"}, {"text": "b", "label": None}]))
    with pytest.raises(DataError, match=r"1 have none \(first: row 2\)"):
        read_table(tmp_path / "mine.json").labels("label")


@pytest.mark.parametrize("columns", [("premise", "hypothesis"), ("text1", "text2"), ("question1", "question2")])
def test_usual_pairs_are_recognised(columns: tuple[str, str], tmp_path: Path) -> None:
    found = [{columns[0]: f"a {i}", columns[1]: f"b {i}", "label": i % 2} for i in range(40)]
    write_jsonl(tmp_path / "mine.jsonl", found)
    assert load(tmp_path / "mine.jsonl").is_pair
