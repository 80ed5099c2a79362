from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.core.settings import DataSource
from autokd.tasks.load import load_task


def write(
    path: Path, n: int, start: int = 0, header: str = "text\tlabel", labels: tuple[str, ...] = ("no", "yes")
) -> None:
    """A file of ``n`` different rows: as many text columns as the header has before its label."""
    mark = "\t" if path.suffix == ".tsv" else ","
    n_texts = len(header.split("\t")) - 1
    lines = [
        mark.join([f"row {i} {k}" for k in range(n_texts)] + [labels[i % len(labels)]]) for i in range(start, start + n)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header.replace("\t", mark), *lines]) + "\n")


@pytest.mark.parametrize("name", ["mr", "text/mr"])
def test_a_folder_of_text_by_its_name(name: str, tmp_path: Path) -> None:
    for split, n in (("train", 40), ("validation", 12), ("test", 15)):
        write(tmp_path / "text" / "mr" / f"{split}.tsv", n, start=len(split) * 100)
    task = load_task(DataSource(name, data_dir=str(tmp_path)), seed=0)
    assert (task.name, len(task.train), len(task.valid), len(task.test)) == ("mr", 40, 12, 15)
    assert task.valid.text_a[0] == "row 1000 0"


def test_without_test_file_validation_is_the_test(tmp_path: Path) -> None:
    write(tmp_path / "text" / "cb" / "train.tsv", 40, header="sentence1\tsentence2\tlabel")
    write(tmp_path / "text" / "cb" / "validation.tsv", 12, 100, header="sentence1\tsentence2\tlabel")
    task = load_task(DataSource("cb", data_dir=str(tmp_path)), seed=0)
    assert (len(task.train), len(task.valid), len(task.test)) == (30, 10, 12)
    assert task.test.text_b is not None
    assert (task.test.text_a[0], task.test.text_b[0]) == ("row 100 0", "row 100 1")


def test_a_test_file_without_labels_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "train.csv", 40)
    (tmp_path / "mine" / "test.csv").write_text("text\nsecret\n")
    task = load_task(DataSource(str(tmp_path / "mine")), seed=0)
    assert "the test file has no column 'label' and is not used." in task.notes
    assert len(task.test) == 10


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_single_file_with_named_columns(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"mine{suffix}", 60, header="question\tanswer\tgood")
    columns = {"text_column": "question", "text_pair_column": "answer", "label_column": "good"}
    task = load_task(DataSource(str(tmp_path / f"mine{suffix}"), **columns), seed=0)
    assert (task.name, task.is_pair, task.label_names) == ("mine", True, ("no", "yes"))
    assert len(task.train) + len(task.valid) + len(task.test) == 60


def test_one_text_column_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "mine.csv", 60, header="sentence1\tsentence2\tlabel")
    assert load_task(DataSource(str(tmp_path / "mine.csv")), seed=0).is_pair
    assert not load_task(DataSource(str(tmp_path / "mine.csv"), text_column="sentence1"), seed=0).is_pair


def test_a_file_below_the_data_folder(tmp_path: Path) -> None:
    write(tmp_path / "data" / "mine.csv", 60)
    assert load_task(DataSource("mine.csv", data_dir=str(tmp_path / "data")), seed=0).name == "mine"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "has columns review, stars: say which to use with --text-column and --label-column"),
        ({"text_column": "review"}, "say which to use with --label-column"),
        ({"text_column": "reviews", "label_column": "stars"}, "Did you mean 'review'"),
        ({"text_column": "review", "label_column": "review"}, "must be different columns"),
    ],
)
def test_columns_that_do_not_exist(columns: dict[str, str], message: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.csv", 60, header="review\tstars")
    with pytest.raises(UsageError, match=message):
        load_task(DataSource(str(tmp_path / "mine.csv"), **columns), seed=0)


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    write(tmp_path / "text" / "mine" / "train.tsv", 40)
    with pytest.raises(UsageError, match=r"unknown data set 'mime'. Did you mean 'mine'.*cola, .*pydocs"):
        load_task(DataSource("mime", data_dir=str(tmp_path)), seed=0)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none at none.csv or .*none.csv"):
        load_task(DataSource("none.csv", data_dir=str(tmp_path)), seed=0)


def test_a_data_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data folder must exist"):
        load_task(DataSource("mr", data_dir=str(tmp_path / "none")), seed=0)


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "train.tsv", 40)
    write(tmp_path / "mine" / "train.csv", 40)
    with pytest.raises(DataError, match=r"one file, but .* has train.tsv, train.csv"):
        load_task(DataSource(str(tmp_path / "mine")), seed=0)


def test_the_users_metric_counts(tmp_path: Path) -> None:
    write(tmp_path / "mine.csv", 60)
    assert load_task(DataSource(str(tmp_path / "mine.csv"), metric="matthews"), seed=0).metric == "matthews"
    with pytest.raises(UsageError, match="unknown metric 'mathews'"):
        load_task(DataSource(str(tmp_path / "mine.csv"), metric="mathews"), seed=0)


# Rows that the published files hold; without a test file, validation is the test and a part of train validates.
@pytest.mark.parametrize(
    ("name", "sizes", "metric"),
    [
        ("tweet_emotion", (3257, 374, 1421), "macro_f1"),
        ("sick", (4500, 500, 4927), "macro_f1"),
        ("cb", (188, 62, 56), "macro_f1"),
        ("wic", (4886, 542, 638), "accuracy"),
        ("clinc150", (15_000, 3000, 4500), "accuracy"),
    ],
)
def test_real_folders(name: str, sizes: tuple[int, int, int], metric: str, data_dir: Path) -> None:
    task = load_task(DataSource(name, data_dir=str(data_dir)), seed=0)
    assert (len(task.train), len(task.valid), len(task.test)) == sizes
    assert task.metric == metric
