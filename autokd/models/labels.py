"""Whether a classifier already tells a task's labels apart, and in which order its outputs stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autokd.core.task import Problem


def label_order(config: Mapping[str, Any], labels: Sequence[str]) -> tuple[int, ...] | None:
    """For each of our labels, which output of a checkpoint's head is its; None where the head has other labels.

    Labels are compared by name, in upper or lower case where that leaves them different.
    """
    told = config.get("id2label") or {}
    theirs = {str(name): int(i) for i, name in told.items()}
    if not labels or not len(theirs) == len(told) == len(labels) or set(theirs.values()) != set(range(len(told))):
        return None
    for spelled in (str, str.casefold):
        ours = [spelled(name) for name in labels]
        outputs = {spelled(name): i for name, i in theirs.items()}
        if len(set(ours)) == len(outputs) == len(ours) and set(ours) == set(outputs):
            return tuple(outputs[name] for name in ours)
    return None


def is_classifier(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's configuration is that of a text classifier (or a regressor), not of a bare encoder."""
    named = config.get("architectures") or ()
    return any(str(name).endswith("ForSequenceClassification") for name in named)


def tells_apart(config: Mapping[str, Any], problem: Problem, labels: Sequence[str]) -> bool:
    """Whether a checkpoint's configuration is that of a model already tuned for this problem and these labels.

    Regression is recognised by one output and ``problem_type`` regression.
    """
    kind = config.get("problem_type")
    if not is_classifier(config):
        return False
    if problem == "regression":
        return kind == "regression" and len(config.get("id2label") or (None,)) == 1
    return kind in (None, "single_label_classification") and label_order(config, labels) is not None
