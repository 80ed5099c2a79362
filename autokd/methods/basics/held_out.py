"""How well networks keep a teacher's relations on texts that nobody was trained on; no labels are looked at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Outputs, Rows, Wants
from autokd.engine.batches import collate
from autokd.engine.precision import autocast
from autokd.engine.teacher import LiveTeacher
from autokd.methods.basics.relations import RelationTerm

_BATCH = 64
_ATTENTION = Wants(attention=True)


class HeldOut:
    """Some rows of a split, evenly spread over it, with the teacher's queries, keys and values: computed once, for all.

    They take ``12 * length * width`` bytes of memory a row at most; relations, which grow with the square of the
    length, are made anew for each network.
    """

    def __init__(self, rows: Rows, count: int, term: RelationTerm, teacher: LiveTeacher, ctx: Context) -> None:
        """``count``: how many rows, at least one; all of them, where there are no more."""
        count = max(1, min(count, len(rows)))
        self._term, self._ctx, self._count = term, ctx, count
        places = torch.arange(count) * len(rows) // count
        order = torch.argsort(rows.lengths[places], stable=True)
        self._batches: list[tuple[Tensor, Batch, tuple[Tensor, ...]]] = []
        for chosen in torch.split(order, _BATCH):
            batch = collate(rows, places[chosen]).to(ctx.device)
            self._batches.append((chosen, batch, term.states(teacher.for_batch(batch))))

    def losses(self, network: Callable[..., Outputs]) -> Tensor:
        """The relation loss of each of these rows, in their order, float32 [rows] on the CPU; no gradients."""
        found = torch.empty(self._count)
        for chosen, batch, states in self._batches:
            with torch.no_grad(), autocast(self._ctx.device, self._ctx.precision):
                found[chosen] = self._term.per_text(network(batch, _ATTENTION), states).float().cpu()
        return found
