"""What is done with a trained student: exported, scored, asked. One small search serves all tests here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from autokd.models.tiny import tiny_checkpoint
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


@pytest.fixture(scope="session")
def checkpoint(searched: Ran) -> str:
    assert searched.code == 0, searched.err
    return str(searched.json["front"][0]["checkpoint"])


def test_the_best_of_the_front_is_exported_where_no_trial_is_named(
    searched: Ran, autokd: Autokd, tmp_path: Path
) -> None:
    ran = autokd("export", "first", "--output", str(tmp_path / "mine"), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["trial"] == searched.json["front"][0]["trial"]
    assert ran.json["worst_difference"] == 0
    said = pipeline("text-classification", str(tmp_path / "mine"))("a warm and lovely day")
    assert said[0]["label"] in ("bad", "good")
    assert (tmp_path / "mine" / "README.md").is_file()


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_the_forms_that_a_search_measured_are_those_that_are_exported(
    searched: Ran, autokd: Autokd, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "mine"
    ran = autokd("export", "first", "--format", form, "--output", str(output))
    assert ran.code == 0, ran.err
    (measured,) = [each["folder"] for each in searched.json["front"][0]["forms"] if each["runtime"] == form]
    assert (output / "model.onnx").read_bytes() == (Path(measured) / "model.onnx").read_bytes()
    scored = autokd("evaluate", str(output), "--dataset", "mine.csv", "--json").json
    assert (scored["form"], scored["runtime"]) == (form, form)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trial", "99"], "has no trial 99. Those with one: "),
        (["--format", "onx"], "Did you mean 'onnx'?"),
        (["--storage", "sqlite:///nowhere.db"], "there is no storage at"),
    ],
)
def test_what_cannot_be_exported_is_told(
    searched: Ran, autokd: Autokd, tmp_path: Path, arguments: list[str], told: str
) -> None:
    ran = autokd("export", "first", "--output", str(tmp_path / "x"), *arguments)
    assert ran.code in (1, 2)
    assert told in ran.err
    assert not (tmp_path / "x").exists()


def test_nothing_is_exported_into_a_folder_that_holds_something(searched: Ran, autokd: Autokd, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ran = autokd("export", "first", "--output", str(tmp_path))
    assert ran.code == 2
    assert "new or empty folder" in ran.err


def test_a_checkpoint_scores_what_its_study_says(searched: Ran, autokd: Autokd, checkpoint: str) -> None:
    ran = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--json")
    (told,) = [each for each in searched.json["front"][0]["forms"] if each["runtime"] == "torch"]
    assert ran.json["score"] == told["test_score"]
    assert ran.json["low"] <= ran.json["score"] <= ran.json["high"]
    assert ran.json["n_rows"] == 50
    whole = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--split", "all", "--json").json
    assert whole["n_rows"] == 200
    shown = autokd("evaluate", checkpoint, "--dataset", "mine.csv").out
    assert f"accuracy {told['test_score']:.4f}" in shown


def test_a_seed_of_ones_own_that_meets_training_rows_is_told(searched: Ran, autokd: Autokd, checkpoint: str) -> None:
    ours = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--json")
    assert (ours.json["split"], ours.json["seed"]) == ("test", 0)
    assert "50 rows, carved from train by seed 0, as the checkpoint's study did" in ours.err
    assert "among those" not in ours.err
    other = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--seed", "5", "--json")
    (told,) = [note for note in other.json["notes"] if "among those" in note]
    assert 15 <= int(told.split()[0]) < 40  # half of all rows are trained on, and 50 are scored
    assert "(its study carved by seed 0)" in told
    whole = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--split", "all", "--json")
    assert "100 of these 200 rows are among those the checkpoint was trained on." in whole.err
    trained = autokd("evaluate", checkpoint, "--dataset", "mine.csv", "--split", "train", "--json")
    assert trained.json["n_rows"] == 100
    assert "was trained on these very rows" in trained.err


def test_any_labelled_rows_are_scored_whole(autokd: Autokd, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\nso warm and lovely,good\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "test.jsonl").write_text('{"text": "an awful day", "label": "bad"}\n' * 3)
    for name, n_rows in (("one.csv", 1), ("folder", 3), ("folder/test.jsonl", 3)):
        ran = autokd("evaluate", checkpoint, "--dataset", str(tmp_path / name), "--json")
        assert ran.code == 0, ran.err
        assert (ran.json["n_rows"], ran.json["split"], ran.json["seed"]) == (n_rows, "all", None)
        assert ran.json["score"] == 1.0
        assert ran.err == ""
    assert "one, all rows: 1 row;" in autokd("evaluate", checkpoint, "--dataset", str(tmp_path / "one.csv")).out


@pytest.mark.parametrize(
    ("content", "arguments", "code", "told"),
    [
        ("text,label\nwarm,good\n", ["--split", "valid"], 2, "has one split, which is scored whole: leave out --split"),
        ("text,label\nwarm,good\n", ["--seed", "1"], 1, "needs a train split and 20 labelled rows"),
        ("text,label\nwarm,great\n", [], 1, "'mine' has great and"),
        ("text,label\nwarm,1\ncold,0\n", ["--metric", "pearson"], 2, "'pearson' does not fit classification"),
        ("text,label\nwarm,\n", [], 1, "every row needs a label in column 'label', but 1 have none (first: line 2)"),
        ('text,label\n"  ",good\n', [], 1, "rows to be scored have labels, but 'mine' has none"),
    ],
)
def test_what_cannot_be_scored_is_told_in_one_line(
    autokd: Autokd, checkpoint: str, tmp_path: Path, content: str, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "mine.csv").write_text(content)
    ran = autokd("evaluate", checkpoint, "--dataset", str(tmp_path / "mine.csv"), *arguments)
    assert ran.code == code
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


def test_classes_that_a_checkpoint_does_not_know_are_an_error(autokd: Autokd, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\n" + "".join(f"text {i},{'xyz'[i % 3]}\n" for i in range(60)))
    ran = autokd("evaluate", checkpoint, "--dataset", str(tmp_path / "other.csv"))
    assert ran.code == 1
    assert "classes that it knows" in ran.err
    assert "bad, good" in ran.err


def test_texts_of_a_table_are_labelled_in_their_order(autokd: Autokd, checkpoint: str, tmp_path: Path) -> None:
    output = tmp_path / "labels.csv"
    ran = autokd("predict", checkpoint, "--input", "mine.csv", "--output", str(output))
    assert ran.code == 0, ran.err
    assert ran.out == ""
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with Path("mine.csv").open(newline="", encoding="utf-8") as file:
        given = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [row["text"] for row in given]
    assert [row["label"] for row in rows] == [row["label"] for row in given]
    assert sum(row["prediction"] == row["label"] for row in rows) > 150
    for row in rows:
        shares = {name: float(row[f"probability:{name}"]) for name in ("bad", "good")}
        assert abs(sum(shares.values()) - 1) < 1e-5
        assert row["prediction"] == max(shares, key=lambda name: shares[name])
        assert float(row["score"]) == max(shares.values())


def test_the_same_is_said_as_json_lines_and_in_every_runtime(autokd: Autokd, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a warm, lovely day\n\nan awful film\n", encoding="utf-8")
    found = []
    for runtime in ("torch", "torch-bf16"):
        out = autokd(
            "predict", checkpoint, "--input", str(tmp_path / "texts.txt"), "--format", "jsonl", "--runtime", runtime
        ).out
        found.append([json.loads(line) for line in out.splitlines()])
    assert [row["text"] for row in found[0]] == ["a warm, lovely day", "", "an awful film"]
    assert [row["prediction"] for row in found[0]] == [row["prediction"] for row in found[1]]
    assert found[0] != found[1]


ROWS = [
    {"id": 7, "text": 'so "warm"\tand, lovely', "score": "high", "made": {"by": ["me", None]}, "kept": True},
    {"id": 8, "text": "cold", "score": "NA", "made": None, "kept": False},
]


def _write(path: Path) -> Path:
    """The rows as a file of the kind that the name says; what csv and tsv cannot hold is left out."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text", "score"], extrasaction="ignore", delimiter=mark)
            writer.writeheader()
            writer.writerows(ROWS)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_column_of_the_input_comes_back(suffix: str, autokd: Autokd, checkpoint: str, tmp_path: Path) -> None:
    given = _write(tmp_path / f"given{suffix}")
    ran = autokd("predict", checkpoint, "--input", str(given), "--format", "jsonl")
    assert ran.code == 0, ran.err
    found = [json.loads(line) for line in ran.out.splitlines()]
    flat = suffix in (".csv", ".tsv")
    for row, wanted in zip(found, ROWS, strict=True):
        kept = {name: str(wanted[name]) for name in ("id", "text", "score")} if flat else wanted
        assert {name: row[name] for name in kept} == kept
        assert list(row) == [*kept, "prediction", "autokd_score", "probabilities"]
        assert row["autokd_score"] == max(row["probabilities"].values())
    for form, mark in (("csv", ","), ("tsv", "\t")):
        output = tmp_path / f"said.{form}"
        ran = autokd("predict", checkpoint, "--input", str(given), "--output", str(output))
        assert ran.code == 0, ran.err
        with output.open(newline="") as file:
            table = list(csv.DictReader(file, delimiter=mark))
        assert [row["text"] for row in table] == [row["text"] for row in ROWS]
        assert [row["prediction"] for row in table] == [row["prediction"] for row in found]
        if not flat:
            assert [row["made"] for row in table] == ['{"by": ["me", null]}', ""]
            assert [row["kept"] for row in table] == ["True", "False"]


def test_values_are_written_behind_every_column(autokd: Autokd, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", ["a warm day"], labels=1)
    (tmp_path / "a.csv").write_text("prediction,text,autokd_prediction\nmine,warm,old\n")
    (row,) = csv.DictReader(io.StringIO(autokd("predict", str(folder), "--input", str(tmp_path / "a.csv")).out))
    assert list(row) == ["prediction", "text", "autokd_prediction", "autokd_autokd_prediction"]
    assert (row["prediction"], row["autokd_prediction"]) == ("mine", "old")
    assert float(row["autokd_autokd_prediction"]) == pytest.approx(0, abs=5)


def test_standard_input_is_read(autokd: Autokd, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(b'{"review": "so warm"}\n{"review": "so cold"}\n')

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr("sys.stdin", Piped())
    ran = autokd("predict", checkpoint, "--input", "-", "--input-format", "jsonl", "--text-column", "review")
    assert [line.partition(",")[0] for line in ran.out.splitlines()] == ["review", "so warm", "so cold"]


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (b"a,b\n1,2\n", [], "say which holds the texts with --text-column"),
        (b"a,b\n1,2\n", ["--text-column", "c"], "unknown column 'c'"),
        (b"a,b\n1,2\n", ["--text-column", "a", "--text-pair-column", "a"], "stand in different columns"),
        (b"text\n", [], "must hold at least one row"),
        (b"text\n\xff\xfe\n", [], "must be UTF-8"),
        (b"text\nx\n", ["--output", "labels.xls"], "ends in .csv, .tsv or .jsonl"),
        (b"text\nx\n", ["--output", "nowhere/labels.csv"], "folder must exist"),
        (b"text\nx\n", ["--runtime", "onnx"], "reads a folder of the form onnx"),
        (b"text\nx\n", ["--input-format", "parquet"], "ends in .parquet"),
    ],
)
def test_what_cannot_be_predicted_is_told_in_one_line(
    autokd: Autokd, checkpoint: str, tmp_path: Path, content: bytes, arguments: list[str], told: str
) -> None:
    (tmp_path / "texts.csv").write_bytes(content)
    ran = autokd("predict", checkpoint, "--input", str(tmp_path / "texts.csv"), *arguments)
    assert ran.code in (1, 2)
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""
