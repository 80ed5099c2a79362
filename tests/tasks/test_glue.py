from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from autokd.core.errors import DataError, UsageError
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks.load import load_task


def write_rte(folder: Path, n_train: int = 30, n_dev: int = 10) -> None:
    folder.mkdir(parents=True)
    for file, n, start in (("train.tsv", n_train, 0), ("dev.tsv", n_dev, 500)):
        lines = [f'{i}\tpremise {start + i}\tclaim "{i}\t{("entailment", "not_entailment")[i % 2]}' for i in range(n)]
        (folder / file).write_text("index\tsentence1\tsentence2\tlabel\n" + "\n".join(lines) + "\n")
    (folder / "test.tsv").write_text("index\tsentence1\tsentence2\n0\tpremise\tclaim\n")


@pytest.mark.parametrize("below", ["", "glue"])
@pytest.mark.parametrize("through", ["option", "environment"])
def test_dev_is_the_test_and_validation_is_carved(
    below: str, through: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rte(tmp_path / "data" / below / "RTE")
    data_dir = str(tmp_path / "data")
    monkeypatch.setenv("AUTOKD_DATA", data_dir if through == "environment" else "")
    task = load_task(DataSource("RTE", data_dir=data_dir if through == "option" else None), seed=0)
    assert (task.name, task.metric, task.is_pair) == ("rte", "accuracy", True)
    assert task.label_names == ("entailment", "not_entailment")
    assert task.test.text_a == tuple(f"premise {500 + i}" for i in range(10))
    assert task.test.text_b is not None
    assert task.test.text_b[3] == 'claim "3'
    assert task.test.labels == (0, 1) * 5
    assert len(task.train) + len(task.valid) == 30


def test_a_task_without_train_says_what_is_there(tmp_path: Path) -> None:
    write_rte(tmp_path / "RTE")
    (tmp_path / "RTE" / "train.tsv").unlink()
    with pytest.raises(DataError, match=r"rte needs train.tsv and dev.tsv, but .* has dev.tsv, test.tsv"):
        load_task(DataSource("rte", data_dir=str(tmp_path)), seed=0)


def test_columns_cannot_be_named(tmp_path: Path) -> None:
    write_rte(tmp_path / "RTE")
    with pytest.raises(UsageError, match="for files only, but 'rte' was given sentence1"):
        load_task(DataSource("rte", data_dir=str(tmp_path), text_column="sentence1"), seed=0)


def test_without_folder_and_hub_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOKD_DATA", raising=False)
    monkeypatch.setattr("autokd.tasks.hub.is_offline", lambda: False)
    monkeypatch.setattr("autokd.tasks.hub.hub_answers", lambda: False)
    with pytest.raises(DataError, match="neither --data-dir nor AUTOKD_DATA is set and the hub does not answer"):
        load_task(DataSource("cola"), seed=0)


# ------------------------------------------------------------------------------------------------ the hub


def hub_rows(n: int, columns: tuple[str, ...], names: list[str] | None) -> Dataset:
    """Rows as the hub serves them: class labels with names, or values."""
    label: Any = ClassLabel(names=names) if names else Value("float32")
    values = {name: [f"{name} {i}" for i in range(n)] for name in columns}
    labels: list[Any] = [i % len(names) for i in range(n)] if names else [i % 11 / 2 for i in range(n)]
    features = Features({**dict.fromkeys(columns, Value("string")), "label": label})
    return Dataset.from_dict({**values, "label": labels}, features=features)


def from_hub(
    monkeypatch: pytest.MonkeyPatch, name: str, columns: tuple[str, ...], names: list[str] | None, dev: str
) -> Task:
    asked = []

    def load_dataset(path: str, config: str) -> DatasetDict:
        asked.append((path, config))
        return DatasetDict({"train": hub_rows(200, columns, names), dev: hub_rows(40, columns, names)})

    monkeypatch.delenv("AUTOKD_DATA", raising=False)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = load_task(DataSource(name), seed=0)
    assert asked == [("nyu-mll/glue", name)]
    return task


PAIR = ("sentence1", "sentence2")


def test_hub_labels_that_ship_as_numbers_stay_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1's positive class must be ``equivalent``, which would sort before ``not_equivalent``."""
    task = from_hub(monkeypatch, "mrpc", PAIR, ["not_equivalent", "equivalent"], "validation")
    assert (task.label_names, task.metric) == (("0", "1"), "f1")
    assert task.test.labels == (0, 1) * 20
    assert task.test.text_b is not None
    assert (task.test.text_a[1], task.test.text_b[1]) == ("sentence1 1", "sentence2 1")


def test_hub_labels_that_ship_as_words_are_sorted_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's order of MNLI's classes is another one than the alphabet's; its test is the matched one."""
    names = ["entailment", "neutral", "contradiction"]
    task = from_hub(monkeypatch, "mnli", ("premise", "hypothesis"), names, "validation_matched")
    assert task.label_names == ("contradiction", "entailment", "neutral")
    assert task.test.labels[:3] == (1, 2, 0)


def test_hub_values_are_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    task = from_hub(monkeypatch, "stsb", PAIR, None, "validation")
    assert (task.problem, task.n_outputs, task.metric) == ("regression", 1, "pearson_spearman")
    assert task.test.labels[:3] == (0.0, 0.5, 1.0)


def test_a_failing_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: str) -> DatasetDict:
        raise ConnectionError("no route\nto the host")

    monkeypatch.delenv("AUTOKD_DATA", raising=False)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(
        DataError, match="'nyu-mll/glue' could not be read from the hub or its cache: no route to the host"
    ):
        load_task(DataSource("rte"), seed=0)


# ------------------------------------------------------------------------------------------------ real files


@pytest.mark.parametrize(
    ("name", "metric", "n_train", "n_test"),
    [
        ("cola", "matthews", 8551, 1043),
        ("mrpc", "f1", 3668, 408),
        ("sts-b", "pearson_spearman", 5749, 1500),
        ("rte", "accuracy", 2490, 277),
        ("wnli", "accuracy", 635, 71),
    ],
)
def test_real_glue_is_read_whole(name: str, metric: str, n_train: int, n_test: int, data_dir: Path) -> None:
    task = load_task(DataSource(name, data_dir=str(data_dir)), seed=0)
    assert (len(task.train) + len(task.valid), len(task.test), task.metric) == (n_train, n_test, metric)


def test_real_cola_and_mrpc_have_their_known_labels(data_dir: Path) -> None:
    cola = load_task(DataSource("cola", data_dir=str(data_dir)), seed=0)
    mrpc = load_task(DataSource("mrpc", data_dir=str(data_dir)), seed=0)
    assert Counter(cola.test.labels) == {1: 721, 0: 322}
    assert Counter(mrpc.test.labels) == {1: 279, 0: 129}
    assert cola.test.text_a[0] == "The sailors rode the breeze clear of the rocks."


def test_real_carved_validation_mirrors_train(data_dir: Path) -> None:
    task = load_task(DataSource("cola", data_dir=str(data_dir)), seed=0)
    share = sum(task.train.labels) / len(task.train)
    assert sum(task.valid.labels) / len(task.valid) == pytest.approx(share, abs=0.01)
    assert not set(task.train.text_a) & set(task.valid.text_a)
