from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from autokd.core.errors import DataError, TrainingError, UsageError
from autokd.measure.metrics import METRICS, Array, find_metric


def one_hot(classes: list[int], n_classes: int) -> Array:
    return np.eye(n_classes)[classes]


def random_case(n_classes: int, n: int = 200) -> tuple[Array, Array]:
    """Logits that agree with the labels about half the time, the last class rare."""
    random = np.random.default_rng(n_classes)
    labels = np.minimum(random.integers(n_classes + 3, size=n), n_classes - 1)
    return random.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels], labels


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_classification_agrees_with_scikit_learn(n_classes: int) -> None:
    logits, labels = random_case(n_classes)
    guesses = logits.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(labels, guesses),
        "macro_f1": reference.f1_score(labels, guesses, average="macro"),
        "matthews": reference.matthews_corrcoef(labels, guesses),
    }
    if n_classes == 2:
        expected["f1"] = reference.f1_score(labels, guesses)
    assert {name: METRICS[name].score(logits, labels) for name in expected} == pytest.approx(expected, abs=1e-12)


def test_macro_f1_leaves_out_classes_that_never_occur() -> None:
    logits, labels = one_hot([0, 1, 1, 0], 5), np.array([0, 1, 0, 0])
    expected = reference.f1_score(labels, [0, 1, 1, 0], average="macro")
    assert METRICS["macro_f1"].score(logits, labels) == pytest.approx(expected)


def test_regression_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    labels = np.round(random.uniform(0, 5, size=300), 1)  # with ties
    guesses = (labels + random.normal(size=300)).astype(np.float32)
    pearson, spearman = stats.pearsonr(guesses, labels)[0], stats.spearmanr(guesses, labels)[0]
    logits = guesses[:, None]
    assert METRICS["pearson"].score(logits, labels) == pytest.approx(pearson, abs=1e-6)
    assert METRICS["spearman"].score(logits, labels) == pytest.approx(spearman, abs=1e-12)
    assert METRICS["pearson_spearman"].score(logits, labels) == pytest.approx((pearson + spearman) / 2, abs=1e-6)


def test_f1_counts_class_one_as_positive() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0])
    assert METRICS["f1"].score(one_hot([1, 0, 0, 0, 0, 0], 2), labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_always_the_negative_class_scores_zero(name: str) -> None:
    assert METRICS[name].score(one_hot([0] * 4, 2), np.array([0, 1, 0, 0])) == 0.0


def test_f1_without_any_positive_is_zero() -> None:
    assert METRICS["f1"].score(one_hot([0] * 4, 2), np.zeros(4, dtype=int)) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearman", "pearson_spearman"])
@pytest.mark.parametrize("constant", ["predictions", "labels"])
def test_correlation_with_a_constant_is_zero(name: str, constant: str) -> None:
    varied, same = np.array([0.1, 0.4, 0.2]), np.full(3, 0.1, dtype=np.float32)
    logits, labels = (same, varied) if constant == "predictions" else (varied, same)
    assert METRICS[name].score(logits[:, None], labels) == 0.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
@pytest.mark.parametrize("n", [1, 2, 30])
def test_no_score_is_nan(metric: object, n: int) -> None:
    metric = METRICS[metric.name]  # type: ignore[attr-defined]
    random = np.random.default_rng(n)
    width = 1 if metric.problem == "regression" else 2
    score = metric.score(random.normal(size=(n, width)), random.integers(2, size=n))
    assert -1.0 <= score <= 1.0
    assert not math.isnan(score)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_must_be_finite(value: float) -> None:
    logits = np.zeros((4, 2))
    logits[2, 1] = value
    with pytest.raises(TrainingError, match="1 of 4 rows are not"):
        METRICS["accuracy"].score(logits, np.zeros(4, dtype=int))


@pytest.mark.parametrize("shape", [(0, 2), (3, 2), (4,)])
def test_shapes_are_checked(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="needs logits"):
        METRICS["accuracy"].score(np.zeros(shape), np.zeros(4 if shape != (0, 2) else 0, dtype=int))


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'accuracy'"):
        find_metric("acuracy")


@pytest.mark.parametrize(
    ("name", "problem", "n_classes"),
    [("pearson", "classification", 2), ("f1", "classification", 3), ("f1", "regression", 0)],
)
def test_a_metric_must_fit_its_task(name: str, problem: str, n_classes: int) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        find_metric(name, problem, n_classes)  # type: ignore[arg-type]


def test_a_fitting_metric_is_found() -> None:
    assert find_metric("f1", "classification", 2) is METRICS["f1"]
