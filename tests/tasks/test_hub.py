"""Data sets of the hub and saved ones. No network: the library's loader is replaced, but for its cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from autokd.core.errors import AutokdError, DataError, UsageError
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks.load import load_task


def rows(n: int, start: int = 0, label: int | None = None, columns: tuple[str, ...] = ("text",)) -> Dataset:
    """``n`` rows whose classes take turns, or all have the id ``label``."""
    features = Features({**dict.fromkeys(columns, Value("string")), "label": ClassLabel(names=["pos", "neg"])})
    numbers = range(start, start + n)
    values: dict[str, Any] = {name: [f"{name} {i}" for i in numbers] for name in columns}
    values["label"] = [i % 2 if label is None else label for i in numbers]
    return Dataset.from_dict(values, features=features)


def load(monkeypatch: pytest.MonkeyPatch, found: DatasetDict | Exception, **changes: Any) -> tuple[Task, list[Any]]:
    asked: list[Any] = []

    def load_dataset(*path: str) -> DatasetDict:
        asked.append(path)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    return load_task(DataSource(**{"name": "owner/name", **changes}), seed=0), asked


def test_any_id_with_the_names_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = DatasetDict(train=rows(60), validation=rows(10, 100), test=rows(12, 200))
    task, asked = load(monkeypatch, splits)
    assert asked == [("owner/name",)]
    assert (task.name, len(task.train), len(task.valid), len(task.test)) == ("owner/name", 60, 10, 12)
    assert task.label_names == ("neg", "pos")
    assert task.train.labels[:2] == (1, 0)
    assert task.train.text_a[0] == "text 0"


def test_a_subset_is_asked_for_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    task, asked = load(monkeypatch, DatasetDict(train=rows(60)), subset="emotion")
    assert asked == [("owner/name", "emotion")]
    assert task.name == "owner/name/emotion"


def test_a_secret_test_split_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = DatasetDict(train=rows(60), validation=rows(10, 100), test=rows(12, 200, label=-1))
    task, _ = load(monkeypatch, splits)
    assert task.test.text_a[0] == "text 100"
    assert "the test split has no labels and is not used." in task.notes


def test_rows_without_label_are_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = datasets.concatenate_datasets([rows(60), rows(5, 500, label=-1)])
    task, _ = load(monkeypatch, DatasetDict(train=mixed, test=rows(10, 100)))
    assert "5 of 65 train rows have no label and were left out." in task.notes
    assert len(task.train) + len(task.valid) == 60


def test_pairs_named_columns_and_shuffled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(60, columns=("title", "body", "text")).shuffle(seed=1)
    task, _ = load(monkeypatch, DatasetDict(train=found), text_column="title", text_pair_column="body")
    assert task.is_pair
    both = zip(task.train.text_a, task.train.text_b or (), task.train.labels, strict=True)
    assert all(a.split()[1] == b.split()[1] and (1, 0)[int(a.split()[1]) % 2] == label for a, b, label in both)


def test_splits_of_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = load(monkeypatch, DatasetDict(train=rows(60), unsupervised=rows(30, 100, label=-1)))
    assert "splits of owner/name that are not used: unsupervised." in task.notes
    only, _ = load(monkeypatch, DatasetDict(full=rows(60)))
    assert len(only.train) + len(only.valid) + len(only.test) == 60
    with pytest.raises(DataError, match="needs a split 'train', but 'owner/name' has one, two"):
        load(monkeypatch, DatasetDict(one=rows(60), two=rows(60)))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            DatasetNotFoundError("Dataset 'owner/name' doesn't exist on the Hub."),
            UsageError,
            "doesn't exist on the Hub",
        ),
        (
            ValueError("Config name is missing.\nPlease pick one among the available configs: ['a', 'b']\nExample of"),
            DataError,
            r"among the available configs: \['a', 'b'\] .*--subset NAME",
        ),
        (ValueError("BuilderConfig 'c' not found. Available: ['a', 'b']"), DataError, r"Available: \['a', 'b'\]"),
        (OSError(28, "No space left on device"), DataError, "No space left on device"),
    ],
)
def test_what_the_library_says_becomes_one_line(
    error: Exception, kind: type[AutokdError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind, match=message) as caught:
        load(monkeypatch, error)
    assert "\n" not in str(caught.value)


def test_a_failure_while_files_are_read_names_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DatasetGenerationError("An error occurred while generating the dataset")
    error.__cause__ = ValueError("Not a Parquet file")
    with pytest.raises(DataError, match="hub or its cache: Not a Parquet file"):
        load(monkeypatch, error)


def test_an_unknown_column_lists_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'text'.*Available: label, text"):
        load(monkeypatch, DatasetDict(train=rows(60)), text_column="txt")


def test_a_subset_is_for_the_hub(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\na,b\n")
    with pytest.raises(UsageError, match="subsets are for data sets of the hub"):
        load_task(DataSource(str(tmp_path / "mine.csv"), subset="emotion"), seed=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imdb", "write 'stanfordnlp/imdb'"),
        ("rotten_tomatoes", "write 'cornell-movie-review-data/rotten_tomatoes'"),
        ("nonesuch", "named with its owner: OWNER/NAME"),
    ],
)
@pytest.mark.parametrize("subset", [None, "plain_text"])
def test_a_name_without_its_owner_is_told_it(name: str, said: str, subset: str | None) -> None:
    with pytest.raises(UsageError, match=said):
        load_task(DataSource(name, subset=subset), seed=0)


def test_a_path_with_a_suffix_is_no_hub_id() -> None:
    with pytest.raises(UsageError, match=r"a data file must exist, but there is none at data/mine.csv"):
        load_task(DataSource("data/mine.csv"), seed=0)


def test_a_folder_here_is_preferred_to_the_hub() -> None:
    folder = Path("owner/name")
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(40)))
    assert load_task(DataSource("owner/name"), seed=0).name == "name"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library's cache with ``owner/name`` in it, and a hub that does not answer."""
    made = tmp_path / "made" / "name"
    made.mkdir(parents=True)
    rows(60).to_parquet(made / "train.parquet")
    datasets.load_dataset(str(made), cache_dir=str(tmp_path / "first"))
    (built,) = (tmp_path / "first" / "name").iterdir()
    folder = tmp_path / "cache" / "owner___name" / built.name
    folder.parent.mkdir(parents=True)
    built.rename(folder)
    for info in folder.glob("*/*/dataset_info.json"):
        info.write_text(info.read_text().replace('"config_name": "default"', f'"config_name": "{built.name}"'))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("autokd.tasks.hub.is_offline", lambda: False)
    monkeypatch.setattr("autokd.tasks.hub.hub_answers", lambda: False)
    return tmp_path / "cache"


def test_without_a_hub_its_cache_still_serves(cache: Path) -> None:
    task = load_task(DataSource("owner/name"), seed=0)
    assert task.label_names == ("neg", "pos")
    assert len(task.train) + len(task.valid) + len(task.test) == 60
    assert not datasets.config.HF_HUB_OFFLINE


def test_without_hub_and_cache_both_are_named(cache: Path) -> None:
    with pytest.raises(DataError, match="the hub does not answer and its cache does not have 'owner/other'"):
        load_task(DataSource("owner/other"), seed=0)


# ------------------------------------------------------------------------------------------------ saved to disk


def test_a_saved_data_set_is_read_with_or_without_splits(tmp_path: Path) -> None:
    rows(60).save_to_disk(tmp_path / "whole")
    DatasetDict(train=rows(60), test=rows(12, 200)).save_to_disk(tmp_path / "split")
    whole, split = (load_task(DataSource(str(tmp_path / name)), seed=0) for name in ("whole", "split"))
    assert (whole.name, len(whole.train) + len(whole.valid) + len(whole.test)) == ("whole", 60)
    assert (len(split.test), split.label_names) == (12, ("neg", "pos"))


def test_a_broken_saved_data_set_is_one_clear_error(tmp_path: Path) -> None:
    rows(60).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.arrow"):
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"a saved data set must be readable, but '.*saved' is not: ") as caught:
        load_task(DataSource(str(tmp_path / "saved")), seed=0)
    assert "\n" not in str(caught.value)
