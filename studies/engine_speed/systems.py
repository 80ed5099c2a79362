"""What a worker asks of each of the compared systems."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from plan import WARMUP, Arm


@dataclass(frozen=True)
class Load:
    """Which data and networks to hold ready. ``limit`` draws that many training rows, the same ones everywhere."""

    task: str
    layers: int
    limit: int | None = None


@dataclass(frozen=True)
class Request:
    """Train a fresh copy of the student on ``rows`` (positions; empty: all) for ``epochs``.

    ``losses`` asks for each step's loss, ``logits`` for the trained student's logits on the dev rows; both cost time.
    """

    rows: Sequence[int]
    epochs: int
    seed: int
    dropout: float
    warmup: float = WARMUP
    losses: bool = False
    logits: bool = False


@dataclass
class Clock:
    """Stamps (seconds of a clock that all processes of a machine share): first batch asked for, ends of steps."""

    began: float | None = None
    stamps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Called for every batch; the first call counts."""
        if self.began is None:
            self.began = time.perf_counter()

    def step(self, *_: Any) -> None:
        """The end of an optimizer step; also fits ``Optimizer.register_step_post_hook``."""
        self.stamps.append(time.perf_counter())

    def collating(self, collate: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], Any]:
        """``collate``, timed."""

        def timed(rows: list[dict[str, Any]]) -> Any:
            self.begin()
            return collate(rows)

        return timed


class System(Protocol):
    """One of the compared systems, in the worker's process."""

    def load(self, work: Path, load: Load) -> list[int]:
        """Makes data and networks ready; returns the training rows' numbers of tokens."""

    def train(self, request: Request, clock: Clock) -> list[list[float]]:
        """Trains once; returns the dev logits if asked for, else nothing."""


def system_of(arm: Arm) -> System:
    """Imports only what the arm needs, so that its memory is its own."""
    if arm.system == "trainer":
        from baseline_trainer import TrainerSystem

        return TrainerSystem(arm)
    if arm.system == "textbrewer":
        from baseline_textbrewer import TextBrewerSystem

        return TextBrewerSystem(arm)
    from engine_arm import EngineSystem

    return EngineSystem(arm)
