"""Metrics: from logits and gold labels to one number, defined for degenerate predictions too.

Scores are fractions: accuracies and F1 in [0, 1], correlations in [-1, 1]. Where the textbook formula divides by zero
(every prediction equal, a class never seen), the score is 0.0: such a model has learnt nothing. Never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from autokd.core.errors import DataError, TrainingError, UsageError, unknown
from autokd.core.metric_file import FORM, MetricFile
from autokd.core.task import Problem
from autokd.measure.own_metrics import load_function

Array = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A named score, higher is better. ``of(predictions, labels, n_classes)`` takes what ``predictions`` returns.

    ``problem`` is what it applies to (None: to any); ``two_classes`` marks scores that are defined for two classes
    only, of which class 1 (the last of the sorted label names) counts as positive; ``reads_logits`` those that judge
    the logits themselves instead of hard predictions.
    """

    name: str
    problem: Problem | None
    of: Callable[[Array, Array, int], float]
    two_classes: bool = False
    reads_logits: bool = False

    def score(self, logits: Array, labels: Array) -> float:
        """The score of ``logits`` [n, n_outputs] against ``labels`` [n] (class ids, or values for regression).

        Raises DataError where there is nothing to score or the shapes differ, TrainingError for logits not finite.
        """
        return self.of(self.predictions(logits, labels), np.asarray(labels), logits.shape[1])

    def predictions(self, logits: Array, labels: Array) -> Array:
        """What ``of`` judges: hard predictions [n] (the class with the highest logit, the first of equals, or the
        value itself), or the logits. Raises as ``score``."""
        if logits.ndim != 2 or len(logits) != len(labels) or not len(labels):
            shapes = f"logits {logits.shape} and labels {np.shape(labels)}"
            raise DataError(f"{self.name} needs logits [n, n_outputs] and labels [n] with n > 0, but got {shapes}.")
        if not np.isfinite(logits).all():
            n_bad = int((~np.isfinite(logits).all(axis=1)).sum())
            raise TrainingError(f"logits must be finite to be scored, but {n_bad} of {len(logits)} rows are not.")
        if self.reads_logits:
            return logits
        return np.asarray(logits[:, 0]) if self.problem == "regression" else np.asarray(logits.argmax(axis=1))


def confusion(predictions: Array, labels: Array, n_classes: int) -> Array:
    """Counts [n_classes, n_classes]: gold class in rows, predicted class in columns."""
    cells = np.bincount(labels.astype(np.int64) * n_classes + predictions, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes)


def _accuracy(predictions: Array, labels: Array, n_classes: int) -> float:
    return float((predictions == labels).mean())


def _f1_by_class(predictions: Array, labels: Array, n_classes: int) -> Array:
    """F1 of each class that occurs, in gold or predicted: 2 TP / (2 TP + FP + FN)."""
    counts = confusion(predictions, labels, n_classes)
    either = counts.sum(axis=0) + counts.sum(axis=1)
    seen = either > 0
    return np.asarray(2 * counts.diagonal()[seen] / either[seen])


def _f1(predictions: Array, labels: Array, n_classes: int) -> float:
    """F1 of class 1."""
    true_positives = float(((predictions == 1) & (labels == 1)).sum())
    either = float((predictions == 1).sum() + (labels == 1).sum())
    return 2 * true_positives / either if either else 0.0


def _macro_f1(predictions: Array, labels: Array, n_classes: int) -> float:
    return float(_f1_by_class(predictions, labels, n_classes).mean())


def _matthews(predictions: Array, labels: Array, n_classes: int) -> float:
    """Matthews correlation: the correlation of the one-hot forms of gold and predicted classes."""
    counts = confusion(predictions, labels, n_classes).astype(float)
    gold, guessed, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    spread = (n * n - gold @ gold) * (n * n - guessed @ guessed)
    return float((n * counts.trace() - gold @ guessed) / np.sqrt(spread)) if spread > 0 else 0.0


def _pearson(predictions: Array, labels: Array, n_classes: int) -> float:
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    x = predictions.astype(float) - predictions.astype(float).mean()
    y = labels.astype(float) - labels.astype(float).mean()
    spread = float(np.sqrt(x @ x) * np.sqrt(y @ y))
    return float(np.clip(x @ y / spread, -1.0, 1.0)) if spread > 0 else 0.0


def _spearman(predictions: Array, labels: Array, n_classes: int) -> float:
    return _pearson(rankdata(predictions), rankdata(labels), n_classes)


def _pearson_spearman(predictions: Array, labels: Array, n_classes: int) -> float:
    """The mean of both correlations, as GLUE reports STS-B."""
    return (_pearson(predictions, labels, n_classes) + _spearman(predictions, labels, n_classes)) / 2


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", "classification", _accuracy),
            Metric("f1", "classification", _f1, two_classes=True),
            Metric("macro_f1", "classification", _macro_f1),
            Metric("matthews", "classification", _matthews),
            Metric("pearson", "regression", _pearson),
            Metric("spearman", "regression", _spearman),
            Metric("pearson_spearman", "regression", _pearson_spearman),
        )
    }
)


def find_metric(name: str, problem: Problem | None = None, n_classes: int = 0) -> Metric:
    """The metric of this name: one of ``METRICS``, or ``FILE.py:FUNCTION``.

    A function in a file gets a name that identifies it: the absolute path with the hash of the file, which from then
    on must not change. Raises UsageError for an unknown name, or a metric that does not fit the task, if given.
    """
    file = MetricFile.parse(name)
    if file is not None:
        return _own(file)
    if name not in METRICS:
        raise UsageError(unknown("metric", name, [*METRICS, FORM]))
    metric = METRICS[name]
    fitting = [other.name for other in METRICS.values() if _fits(other, problem, n_classes)]
    if name not in fitting:
        task = f"{problem} with {n_classes} classes" if problem == "classification" else problem
        raise UsageError(f"the metric must fit the task, but {name!r} does not fit {task}; use one of {fitting}.")
    return metric


def _own(file: MetricFile) -> Metric:
    identified, function = load_function(file)

    def of(logits: Array, labels: Array, n_classes: int) -> float:
        return function(logits.copy(), labels.copy())  # what it does to them changes nothing here

    return Metric(str(identified), None, of, reads_logits=True)


def _fits(metric: Metric, problem: Problem | None, n_classes: int) -> bool:
    if problem is None:
        return True
    return metric.problem == problem and not (metric.two_classes and n_classes != 2)
