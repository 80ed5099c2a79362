"""What a checkpoint in any form says of texts: predictions for new ones, scores for labelled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd.contracts import Rows
from autokd.core.errors import DataError, UsageError
from autokd.core.task import Problem, Split, Task, without_labels
from autokd.deploy.folders import labels_of, length_of
from autokd.deploy.runtimes import Runtime, default_runtime, open_runtime
from autokd.engine.tokens import encode
from autokd.measure.intervals import interval
from autokd.measure.metrics import METRICS, find_metric
from autokd.models.remote import trusting

SPLITS = ("train", "valid", "test", "all")
_NAMELESS = "LABEL_"  # how transformers calls classes that were given no names


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
    pairs = None if text_b is None else tuple(text_b)
    logits = model.runtime.logits(model.rows(without_labels(tuple(text_a), pairs, model.problem)), batch_size)
    if not np.isfinite(logits).all():
        raise DataError(f"a model's logits must be finite, but those of {str(model.folder)!r} are not.")
    if model.problem == "regression":
        return Predicted((), None, logits[:, 0])
    return Predicted(model.labels, _softmax(logits), None)


def evaluate(model: Model, task: Task, split: str = "test", *, batch_size: int | None = None) -> Scored:
    """Score the model on a split of a task (``all``: every labelled row), by the task's metric.

    Classes are matched by name, in whatever order the model has them. Raises DataError where the data hold a class
    that the model does not know, or values where it has classes.
    """
    if task.problem != model.problem:
        told = f"{str(model.folder)!r} is made for {model.problem} and {task.name!r} is for {task.problem}"
        raise DataError(f"a model and its data must be of one kind, but {told}.")
    rows = _labelled(task, split)
    names, columns, notes = _matched(model, task)
    logits = model.runtime.logits(model.rows(rows), batch_size)[:, columns]
    labels = _targets(rows, task, names)
    metric = find_metric(task.metric, task.problem, len(names))
    score, low, high = interval(metric, labels, [logits])
    return Scored(task.metric, score, low, high, len(rows), _others(task, logits, labels), notes)


def _labelled(task: Task, split: str) -> Split:
    if split == "all":
        return task.train.plus(task.valid).plus(task.test)
    if split not in SPLITS:
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, but got {split!r}.")
    found: Split = getattr(task, split)
    return found


def _matched(model: Model, task: Task) -> tuple[tuple[str, ...], list[int], tuple[str, ...]]:
    """Classes in the order of the scores, the logits' columns in that order, and a note where names were guessed.

    Where the model knows further classes, they stand behind the data's.
    """
    if model.problem == "regression":
        return (), [0], ()
    own = model.labels
    if all(name.startswith(_NAMELESS) for name in own) and len(own) == len(task.label_names):
        numbered = {name.removeprefix(_NAMELESS): i for i, name in enumerate(own)}
        if set(numbered) == set(task.label_names):
            return task.label_names, [numbered[name] for name in task.label_names], ()
        note = (
            f"the checkpoint's classes have no names; they are taken for {', '.join(task.label_names)}, in this order."
        )
        return task.label_names, list(range(len(own))), (note,)
    unknown_names = [name for name in task.label_names if name not in own]
    if unknown_names:
        told = f"{task.name!r} has {', '.join(unknown_names[:5])} and {str(model.folder)!r} has {', '.join(own[:20])}"
        raise DataError(f"a model can be scored on classes that it knows, but {told}.")
    names = (*task.label_names, *(name for name in own if name not in task.label_names))
    return names, [own.index(name) for name in names], ()


def _targets(rows: Split, task: Task, names: Sequence[str]) -> np.ndarray:
    # The data's classes come first among ``names``, so that their ids are the same.
    assert tuple(names[: len(task.label_names)]) == task.label_names or not names
    return np.asarray(rows.labels, dtype=np.int64 if names else np.float32)


def _others(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scores by the other metrics that fit the task."""
    n_classes = logits.shape[1]
    fitting = [
        metric
        for metric in METRICS.values()
        if metric.name != task.metric and metric.problem == task.problem and (not metric.two_classes or n_classes == 2)
    ]
    return {metric.name: metric.score(logits, labels) for metric in fitting}


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return found
