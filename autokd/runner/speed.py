"""What share of its teacher's time a sub-network takes: measured on this machine, and kept for all trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autokd.core.canonical import digest
from autokd.core.shape import EncoderShape, speed_key
from autokd.deploy.machine import timing_machine
from autokd.deploy.shape_speed import Beside
from autokd.engine.kept_numbers import kept_numbers

_VERSION = 1  # of how shares are measured
_FORM = "float32"


@dataclass(frozen=True)
class KeptShares:
    """Shares of time, each measured once per machine, shapes and length, and kept below ``cache``."""

    cache: Path
    should_pause: Callable[[], bool]

    def __call__(self, teacher: EncoderShape, shapes: Sequence[EncoderShape], length: int) -> list[float]:
        """As ``Timer``. Nobody else measures them meanwhile. Raises Paused when asked to stop before one is known."""
        key = digest([_VERSION, timing_machine(), speed_key(teacher, _FORM), length])
        beside = Beside(teacher, length)
        with kept_numbers(
            self.cache / "speed" / f"{key}.jsonl", self.should_pause, "latencies of sub-networks"
        ) as kept:
            return [kept.of((speed_key(each, _FORM),), lambda each=each: beside.share(each)) for each in shapes]  # type: ignore[misc]
