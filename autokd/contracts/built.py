"""What methods build: the parts of a training loop, each with state that can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from autokd.contracts.batches import Batch, Dropout, Outputs
from autokd.contracts.declarations import Wants


class LossTerm(nn.Module):
    """One term of the training loss, with whatever trains beside the student (projections, filters, critics).

    ``student_wants`` and ``teacher_wants`` say which tensors ``forward`` reads; ``teacher_wants`` None: no teacher
    at all. ``weight`` multiplies the term in the loop.
    """

    weight: float = 1.0
    student_wants: Wants = Wants()
    teacher_wants: Wants | None = Wants()

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        """The scalar loss of this batch, a mean over what it sums. ``dropout`` serves terms that drop units."""
        raise NotImplementedError


class HookRun(Protocol):
    """A hook at work in one loop: its state resumes exactly."""

    def after_step(self, step: int) -> None:
        """After ``optimizer.step`` number ``step`` (1-based), while gradients are alive, before ``zero_grad``."""

    def finish(self, model: nn.Module) -> nn.Module:
        """After the last step: the model to keep, which may have another shape."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class BatchSource(Protocol):
    """An endless source of batches whose position can be saved. One epoch is ``steps_per_epoch`` batches."""

    steps_per_epoch: int

    def next(self) -> Batch: ...

    def observe(self, outputs: Outputs) -> None:
        """What the student made of the last batch (bandits learn from it)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a weight decay; names as in ``named_parameters``."""

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    decay: bool
