"""Pruning at work in one loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autokd.methods.platon.schedule import Schedule
from autokd.methods.platon.scores import Scores
from autokd.methods.platon.subjects import Subject


class PruningRun:
    """Scores at every step; ranks and masks where the schedule says so."""

    def __init__(self, subject: Subject, scores: Scores, schedule: Schedule, frozen: bool) -> None:
        self._subject, self._scores, self._schedule, self._frozen = subject, scores, schedule, frozen
        self._kept: list[Tensor] | None = None  # the final phase's mask, as long as nothing changes it

    def after_step(self, step: int) -> None:
        if self._kept is None or not self._frozen:
            changed = self._scores.observe(step)
            if changed:
                self._kept = None
        if not self._schedule.masks(step):
            return
        # Between two windows the scores and, in the final phase, the share stay the same: so does the mask.
        kept = self._kept or self._subject.rank(self._scores.values(), self._schedule.share(step))
        self._subject.mask(kept)
        self._kept = kept if self._schedule.is_final(step) else None

    def finish(self, model: nn.Module) -> nn.Module:
        """With the last step's mask once more, whatever other hooks did to the weights in their own ``finish``."""
        return model if self._kept is None else self._subject.finished(model, self._kept)

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self._scores.state_dict(), "kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scores.load_state_dict(state["scores"])
        kept, device = state["kept"], self._subject.parameters[0].device
        self._kept = None if kept is None else [mask.to(device) for mask in kept]
