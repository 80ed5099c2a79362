"""Metrics from the user's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autokd.core.errors import TrainingError, UsageError
from autokd.core.metric_file import metric_title
from autokd.measure.intervals import interval
from autokd.measure.metrics import find_metric
from autokd.tasks.splits import Labelled, Source, make_task

LOGITS = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
LABELS = np.array([0, 1, 0, 0])
FILE = """
import numpy as np

def margin(logits, labels):
    return np.mean(logits[np.arange(len(labels)), labels] - logits.min(axis=1))

def spoils(logits, labels):
    logits[:] = 0
    return 1.0

def lost(logits, labels):
    return float("nan")

def fails(logits, labels):
    raise KeyError("cost")

_hidden = margin
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_a_function_judges_the_logits(file: Path) -> None:
    metric = find_metric(f"{file}:margin")
    assert metric.score(LOGITS, LABELS) == pytest.approx((2 + 1 + 0 + 1) / 4)
    mean, low, high = interval(metric, LABELS, [LOGITS, LOGITS * 2])
    assert mean == pytest.approx(1.5)
    assert low < mean < high


def test_its_name_identifies_the_file_wherever_it_is_used(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = find_metric("mine.py:margin").name
    assert name.startswith(f"{file}:margin@")
    monkeypatch.chdir("/")
    assert find_metric(name).score(LOGITS, LABELS) == pytest.approx(1.0)
    assert metric_title(name) == "margin"
    assert metric_title("macro_f1") == "macro_f1"
    file.write_text(FILE + "\n# changed\n")
    with pytest.raises(UsageError, match=r"a study keeps its metric, but '.*mine.py' was changed since"):
        find_metric(name)


def test_what_the_function_does_to_its_arguments_stays_there(file: Path) -> None:
    logits = LOGITS.copy()
    find_metric(f"{file}:spoils").score(logits, LABELS)
    assert (logits == LOGITS).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lost", "returns a finite number, but lost returned nan"),
        ("fails", r"fails of '.*' failed: KeyError\('cost'\)"),
    ],
)
def test_a_function_that_fails_is_one_clear_error(name: str, message: str, file: Path) -> None:
    with pytest.raises(TrainingError, match=message):
        find_metric(f"{file}:{name}").score(LOGITS, LABELS)


def test_what_cannot_be_found_says_what_there_is(file: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown function in '.*mine.py' 'margins'. Did you mean 'margin'"):
        find_metric(f"{file}:margins")
    with pytest.raises(UsageError, match=r"a metric's file must exist, but there is none at '.*none.py'"):
        find_metric("none.py:margin")
    with pytest.raises(UsageError, match=r"unknown metric 'marign'.*FILE.py:FUNCTION"):
        find_metric("marign")
    file.write_text("import nothing_of_this_name")
    with pytest.raises(UsageError, match=r"mine.py' cannot be imported: ModuleNotFoundError"):
        find_metric(f"{file}:margin")


@pytest.mark.parametrize(("labels", "problem"), [(("no", "yes"), "classification"), (("0.5", "1"), "regression")])
def test_the_labels_decide_the_problem(labels: tuple[str, ...], problem: str, file: Path) -> None:
    rows = Labelled(tuple(f"text {i}" for i in range(60)), None, tuple(labels[i % 2] for i in range(60)))
    task = make_task(Source("toy", {"train": rows}), seed=0, metric=f"{file}:margin")
    assert task.problem == problem
    assert task.metric == find_metric(f"{file}:margin").name
