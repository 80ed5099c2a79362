"""How latency is measured: one runtime, batch, length and number of threads for all candidates and the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from autokd.core.errors import UsageError, unknown

RUNTIMES = ("onnx", "onnx-int8", "torch", "torch-bf16")
_QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class LatencySpec:
    """What one call of a model is, wherever a latency is stated.

    ``batch`` rows of ``length`` tokens each (a number, or a quantile of the data's lengths: ``p50, p95, max``) on
    ``threads`` CPU threads in ``runtime`` (one of ``RUNTIMES``).
    """

    batch: int = 1
    length: int | str = "p95"
    threads: int = 1
    runtime: str = "onnx"

    @staticmethod
    def parse(text: str) -> LatencySpec:
        """Read ``"batch=1,length=p95,threads=1,runtime=onnx"``: these are the values of keys that are left out.

        Raises UsageError for an unknown key, runtime or quantile, a key named twice, and numbers below 1.
        """
        found: dict[str, Any] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if key not in _READERS:
                raise UsageError(unknown("key of --latency", key, _READERS))
            if not equals or key in found:
                raise UsageError(f"--latency names each key once, as KEY=VALUE, but got {text!r}.")
            found[key] = _READERS[key](key, value)
        return LatencySpec(**found)

    @property
    def text(self) -> str:
        """The spec as ``parse`` reads it, every key in it."""
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))

    def resolve(self, lengths: Sequence[int], max_length: int) -> int:
        """The length in tokens, given those of the data's rows, each at most ``max_length``.

        A quantile is the length of a row (of two, the longer one). Raises UsageError where a number is above
        ``max_length``, which models of this study never read.
        """
        if isinstance(self.length, int):
            if self.length > max_length:
                raise UsageError(f"--latency's length is at most the study's {max_length} tokens, got {self.length}.")
            return self.length
        if not len(lengths):
            return max_length
        return min(int(np.quantile(np.asarray(lengths), _QUANTILES[self.length], method="higher")), max_length)


def _whole(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise UsageError(f"--latency's {key} is a whole number above 0, but got {value!r}.")
    return int(value)


def _length(key: str, value: str) -> int | str:
    if value in _QUANTILES:
        return value
    if not value.isdigit():
        raise UsageError(f"--latency's {key} is a number of tokens or one of {', '.join(_QUANTILES)}; got {value!r}.")
    return _whole(key, value)


def _runtime(key: str, value: str) -> str:
    if value not in RUNTIMES:
        raise UsageError(unknown("runtime of --latency", value, RUNTIMES))
    return value


_READERS = {"batch": _whole, "length": _length, "threads": _whole, "runtime": _runtime}
DEFAULT_LATENCY = LatencySpec().text
