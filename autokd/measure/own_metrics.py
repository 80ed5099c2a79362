"""The user's own metrics: a function of logits and labels in a Python file."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from autokd.core.errors import TrainingError, UsageError, unknown
from autokd.core.metric_file import FORM, MetricFile

_PREFIX = "autokd_metric_"
Function = Callable[[Any, Any], float]


def load_function(named: MetricFile) -> tuple[MetricFile, Function]:
    """``(what identifies it, the function)``: the absolute path with the file's hash, and the function, checked.

    The function takes logits [n, n_outputs] and labels [n] as NumPy arrays and returns a number, higher is better.
    Raises UsageError for a file that is missing, cannot be imported, has no such function, or is no longer what a
    study began with; calling the function raises TrainingError where it fails or returns no finite number.
    """
    path = named.path.resolve()
    if not path.is_file():
        raise UsageError(f"a metric's file must exist, but there is none at {str(path)!r} ({FORM}).")
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    if named.content and named.content != content:
        raise UsageError(
            f"a study keeps its metric, but {str(path)!r} was changed since (hash {content}, not {named.content})."
        )
    found = replace(named, path=path, content=content)
    function = getattr(_module(found), found.function, None)
    if not callable(function):
        functions = [name for name, value in vars(_module(found)).items() if callable(value) and name[0] != "_"]
        raise UsageError(unknown(f"function in {str(path)!r}", found.function, functions))
    return found, _checked(found, function)


def _module(file: MetricFile) -> ModuleType:
    name = f"{_PREFIX}{file.content}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file.path)
    if spec is None or spec.loader is None:
        raise UsageError(f"a metric's file must be Python source, but got {str(file.path)!r}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"the metric's file {str(file.path)!r} cannot be imported: {error!r}.") from error
    return module


def _checked(file: MetricFile, function: Function) -> Function:
    def of(logits: Any, labels: Any) -> float:
        try:
            value = float(function(logits, labels))
        except Exception as error:
            raise TrainingError(f"the metric {file.function} of {str(file.path)!r} failed: {error!r}.") from error
        if not math.isfinite(value):
            raise TrainingError(f"a metric returns a finite number, but {file.function} returned {value}.")
        return value

    return of
