"""How long and how a loop trains, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass

from autokd.core.errors import SpecError


@dataclass(frozen=True)
class LoopOptions:
    """How long and how a loop trains.

    ``epochs`` may be a fraction (at least one step is made). ``warmup_share`` in [0, 1) of the steps raises the
    learning rate linearly, the rest lowers it to zero. ``clip_norm`` bounds the gradient's norm (0: no bound).
    ``dropout`` replaces the student's own rate (None: its own). ``freeze_embeddings`` leaves the embeddings as they
    are. Raises SpecError for values outside of these ranges.
    """

    epochs: float
    batch_size: int
    warmup_share: float = 0.1
    clip_norm: float = 1.0
    dropout: float | None = None
    freeze_embeddings: bool = False

    def __post_init__(self) -> None:
        rules = {
            "epochs is above 0": self.epochs > 0,
            "batch_size is at least 1": self.batch_size >= 1,
            "warmup_share lies in [0, 1)": 0 <= self.warmup_share < 1,
            "clip_norm is at least 0": self.clip_norm >= 0,
            "dropout lies in [0, 1)": self.dropout is None or 0 <= self.dropout < 1,
        }
        for rule, holds in rules.items():
            if not holds:
                raise SpecError(f"the rule for a loop is that {rule}, but got {self}.")
