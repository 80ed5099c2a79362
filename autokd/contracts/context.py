"""What a stage, a hook and a sampler may know and use beside the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from autokd.contracts.batches import Rows
from autokd.contracts.declarations import BaseModel
from autokd.contracts.models import Slot
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.core.task import Split, Task


def _no_assets(name: str) -> Path:
    raise SpecError(f"no pretrained models were handed in, but a method needs {name!r}.")


class Proposer(Protocol):
    """Says what a stage that searches inside itself tries next; equal arguments give equal points."""

    def __call__(
        self,
        sizes: Mapping[str, int],
        tried: Sequence[tuple[Mapping[str, int], float]],
        seed: int,
        accept: Callable[[Mapping[str, int]], bool],
    ) -> dict[str, int] | None:
        """A point of a grid that was not tried and that ``accept`` takes, None where none was found.

        ``sizes``: how many places each dimension has; a point says one of each, from 0. ``tried``: points with their
        losses, less is better.
        """


class Timer(Protocol):
    """Says how fast encoders are beside a teacher, on this machine; what was measured once is kept."""

    def __call__(self, teacher: EncoderShape, shapes: Sequence[EncoderShape], length: int) -> list[float]:
        """The time of one text of ``length`` tokens in an encoder of each shape, as a share of the teacher's.

        Both are timed in turns, so that whatever else the machine does falls on both alike.
        """


@dataclass(frozen=True)
class Context:
    """What a stage may know and use, beside the models.

    ``task`` holds the texts; ``rows(split, slot)`` the tokenised rows of a split for one slot's tokenizer (cached).
    ``seeds`` are already those of this stage and replicate. ``folder`` is where this stage's loop keeps its
    checkpoint; ``cache`` the root of artifacts named by content. ``report(step, score)`` tells the study how far the
    stage is; ``should_pause()`` says whether to save and raise ``Paused`` (deadline or stop request).
    ``describe(name)`` tells what a base model is, ``asset(name)`` the folder of a model that a method names beside
    them. ``propose`` is a proposer for stages that search inside themselves, ``timer`` measures for those that limit
    latency (None: none was handed in).
    """

    task: Task
    rows: Callable[[str, Slot], Rows]
    encode: Callable[[Split, Slot], Rows]  # for rows that a stage made itself
    base: Callable[[str, Seeds], Slot]  # a base model by the name that the pipeline uses, its head drawn from seeds
    seeds: Seeds
    folder: Path
    cache: Path
    device: torch.device
    precision: torch.dtype
    report: Callable[[int, float], None]
    should_pause: Callable[[], bool]
    propose: Proposer | None = None
    timer: Timer | None = None
    describe: Callable[[str], BaseModel] = BaseModel
    asset: Callable[[str], Path] = _no_assets

    @property
    def n_outputs(self) -> int:
        return self.task.n_outputs


@dataclass(frozen=True)
class TrainPlan:
    """What hooks and samplers know of the loop they run in: its length in steps, batch size, the student's reach."""

    n_steps: int
    steps_per_epoch: int
    batch_size: int
    seeds: Seeds
    reach: int = 0  # as ``Network.reach``
