"""What a checkpoint in any form says of texts: predictions for new ones, scores for labelled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd.contracts import Rows
from autokd.core.errors import DataError, UsageError
from autokd.core.metric_file import metric_title
from autokd.core.task import DataKind, Problem, Split, without_labels
from autokd.deploy.classes import VALUES, match_classes
from autokd.deploy.folders import labels_of, length_of
from autokd.deploy.graph_runtime import GraphRuntime
from autokd.deploy.runtimes import Runtime, default_runtime, open_runtime
from autokd.engine.rows import encode
from autokd.measure.intervals import interval
from autokd.measure.metrics import METRICS, Metric, find_metric
from autokd.models.remote import trusting
from autokd.tasks.scored import ToScore
from autokd.tasks.splits import usual_metric, with_values

_READ = {"text": "texts", "graph": "nodes of a graph"}


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint. ``labels`` are its classes in the order of the logits, ``()`` for regression.

    ``max_length`` is the most tokens that a text may have, the rest of it is not read.
    """

    folder: Path
    runtime: Runtime
    labels: tuple[str, ...]
    max_length: int
    trust_remote_code: bool = False

    @property
    def problem(self) -> Problem:
        return "classification" if self.labels else "regression"

    @property
    def kind(self) -> DataKind:
        """What it reads."""
        return "graph" if isinstance(self.runtime, GraphRuntime) else "text"

    def require(self, kind: DataKind) -> None:
        """Raises DataError unless the model reads data of this kind."""
        if self.kind != kind:
            told = f"{str(self.folder)!r} reads {_READ[self.kind]} and these are {_READ[kind]}"
            raise DataError(f"a model and its data must be of one kind, but {told}.")

    def rows(self, split: Split) -> Rows:
        """The texts as the model's own tokenizer cuts them."""
        with trusting(self.trust_remote_code):
            return encode(split, self.folder, self.max_length, self.problem)


@dataclass(frozen=True)
class Predicted:
    """For each text its class and all classes' ``probabilities`` [n, n_classes], or its ``values`` [n] (regression)."""

    labels: tuple[str, ...]
    probabilities: np.ndarray | None
    values: np.ndarray | None

    def __len__(self) -> int:
        found = self.values if self.probabilities is None else self.probabilities
        assert found is not None
        return len(found)

    def label(self, row: int) -> str:
        """The class of one text. Only where there are classes."""
        assert self.probabilities is not None
        return self.labels[int(self.probabilities[row].argmax())]


@dataclass(frozen=True)
class Scored:
    """A checkpoint's score on ``n_rows`` rows, with a 95 % interval over examples; ``others`` by further metrics."""

    metric: str
    score: float
    low: float
    high: float
    n_rows: int
    others: Mapping[str, float]
    notes: tuple[str, ...] = ()


def open_model(
    folder: Path,
    runtime: str | None = None,
    *,
    max_length: int | None = None,
    threads: int = 1,
    trust_remote_code: bool = False,
) -> Model:
    """Load a checkpoint's folder (hf, onnx or onnx-int8). ``runtime`` None: the one that its form is made for.
    ``max_length`` None: the length it was trained on, as its tokenizer tells it, else what it can read.

    Raises DataError for a folder that is no checkpoint, UsageError for a runtime that is unknown or not installed.
    """
    name = runtime or default_runtime(folder)
    opened = open_runtime(name, folder, threads=threads, trust_remote_code=trust_remote_code)
    return Model(
        folder, opened, labels_of(folder), min(max_length or length_of(folder), opened.positions), trust_remote_code
    )


def predict(
    model: Model, text_a: Sequence[str], text_b: Sequence[str] | None = None, *, batch_size: int | None = None
) -> Predicted:
    """What the model says of each text (or pair of texts), in their order. Raises DataError for no text at all."""
    model.require("text")
    pairs = None if text_b is None else tuple(text_b)
    logits = model.runtime.logits(model.rows(without_labels(tuple(text_a), pairs, model.problem)), batch_size)
    if not np.isfinite(logits).all():
        raise DataError(f"a model's logits must be finite, but those of {str(model.folder)!r} are not.")
    if model.problem == "regression":
        return Predicted((), None, logits[:, 0])
    return Predicted(model.labels, _softmax(logits), None)


def evaluate(model: Model, data: ToScore, *, batch_size: int | None = None) -> Scored:
    """Score the model on labelled rows. Labels are matched to its classes as in ``match_classes``.

    The metric is the one that the data name, else one that fits: see ``ToScore``. Raises DataError for rows of a kind
    that the model does not read, and where a label is none of the model's classes, or no number where it gives numbers;
    UsageError for a metric that does not fit.
    """
    model.require(data.rows.kind)
    if model.problem == "regression":
        classes, split = VALUES, with_values(data.name, data.rows)
    else:
        classes = match_classes(model.labels, data.labels, data.classes, data.name, model.folder)
        split = data.rows.typed([classes.ids[label] for label in data.rows.labels])
    metric, unfit = _metric(model.problem, data, len(classes.names))
    logits = model.runtime.logits(model.rows(split), batch_size)[:, classes.columns]
    labels = np.asarray(split.labels, dtype=np.int64 if classes.names else np.float32)
    score, low, high = interval(metric, labels, [logits])
    positive = f"{metric.name} counts {classes.names[1]!r} as the positive class." if metric.two_classes else ""
    notes = tuple(filter(None, (classes.note, positive, *unfit)))
    return Scored(metric.name, score, low, high, len(split), _others(metric, model.problem, logits, labels), notes)


def _metric(problem: Problem, data: ToScore, n_classes: int) -> tuple[Metric, list[str]]:
    """The metric, and a note on each that should have been taken but cannot be."""
    if data.metric:
        return find_metric(data.metric, problem, n_classes), []
    notes: list[str] = []
    for name in data.metrics:
        try:
            return find_metric(name, problem, n_classes), notes
        except UsageError as error:
            notes.append(f"not scored by {metric_title(name)}: {error}")
    return find_metric(usual_metric(problem, data.rows)), notes


def _others(chosen: Metric, problem: Problem, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scores by the other metrics that fit."""
    n_classes = logits.shape[1]
    fitting = [
        metric
        for metric in METRICS.values()
        if metric.name != chosen.name and metric.problem == problem and (not metric.two_classes or n_classes == 2)
    ]
    return {metric.name: metric.score(logits, labels) for metric in fitting}


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return found
