"""A teacher's outputs for the training rows: computed once for all trials, then read.

Logits are always cached; hidden states where they fit a disk limit; queries, keys and values never. The key is
(teacher weights, tokens of all rows in order, precision), and the batches in which outputs are computed depend on
the rows alone, so that whoever fills the cache writes the same numbers, and a warm cache equals a cold one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Outputs, Rows, Slot, Wants
from autokd.core.canonical import digest
from autokd.core.errors import SpecError
from autokd.engine.output_files import OutputFiles
from autokd.engine.precision import autocast
from autokd.engine.same_rows import SameRows
from autokd.models.slots import build

# What the hidden states of one teacher on one set of rows may take on disk, in bytes; beyond, they are recomputed.
HIDDEN_LIMIT_BYTES = 8 * 2**30
_VERSION = 1


class LiveTeacher:
    """The teacher itself: one pass for each batch, without gradients and without dropout."""

    def __init__(self, slot: Slot, ctx: Context, wants: Wants, rows: SameRows | None = None) -> None:
        """``rows``: how the teacher reads the student's batches (None: as they are)."""
        self._slot, self._ctx, self._wants, self._rows = slot, ctx, wants, rows
        self._network: nn.Module | None = None

    def for_batch(self, batch: Batch) -> Outputs:
        """The wanted outputs for a batch, on its device; logits in float32."""
        own = batch if self._rows is None else self._rows.of(batch)
        with torch.no_grad(), autocast(self._ctx.device, self._ctx.precision):
            seen: Outputs = self.network()(own, self._wants)
        return Outputs(seen.logits.float(), seen.mask, seen.hidden, seen.attention)

    def network(self) -> nn.Module:
        """The teacher's module, built when it is first asked for."""
        if self._network is None:
            self._network = build(self._slot).to(self._ctx.device).eval().requires_grad_(False)
        return self._network


class TeacherOutputs:
    """What ``wants`` asks of a teacher for any batch of these rows.

    ``rows`` are split by the teacher's tokenizer; ``seen`` says how batches of a student with another tokenizer are
    read (None: they are of these rows themselves). Nothing is computed inside a training step but for rows under a
    transform, and for outputs that are not cached: those take one live pass of the teacher per batch.
    """

    def __init__(
        self,
        slot: Slot,
        rows: Rows,
        ctx: Context,
        wants: Wants,
        hidden_limit_bytes: int = HIDDEN_LIMIT_BYTES,
        *,
        seen: SameRows | None = None,
    ) -> None:
        """Fills the cache where needed. Raises Paused when asked to stop meanwhile; what was computed is kept."""
        self._rows, self._wants = rows, wants
        self._seen = SameRows(rows, rows) if seen is None else seen
        self._live = LiveTeacher(slot, ctx, wants, seen)
        hidden = wants.hidden if _hidden_bytes(slot, rows, wants, ctx.precision) <= hidden_limit_bytes else frozenset()
        self._cached_hidden = frozenset[int]() if wants.attention else hidden
        cache = OutputFiles(ctx.cache / "teacher" / _cache_key(slot, rows, ctx), rows, ctx)
        cache.fill(self._cached_hidden, self._live.network)
        self._logits = cache.logits()
        self._hidden = {i: cache.hidden(i) for i in sorted(self._cached_hidden)}

    @property
    def live(self) -> bool:
        """Whether every batch takes a pass of the teacher, for outputs that are not cached."""
        return self._wants.attention or self._cached_hidden != self._wants.hidden

    def for_batch(self, batch: Batch) -> Outputs:
        """The wanted outputs for a batch, on its device, without gradients; zeros at padding where they were cached."""
        if batch.transform is not None:
            return self._live.for_batch(batch)
        logits = self._logits[batch.rows].to(batch.ids.device)
        if self.live:
            seen = self._live.for_batch(batch)
            return Outputs(logits, seen.mask, seen.hidden, seen.attention)
        if not self._cached_hidden:
            return Outputs(logits, batch.mask, {})
        taught = self._seen.of(batch)
        return Outputs(logits, taught.mask, self._read_hidden(taught))

    def _read_hidden(self, batch: Batch) -> Mapping[int, Tensor]:
        mask = batch.mask.cpu()
        starts = self._rows.offsets[batch.rows]
        places = ((starts.unsqueeze(1) + torch.arange(mask.shape[1])) * mask).reshape(-1)
        padding = (mask == 0).reshape(-1).nonzero().squeeze(1)
        found: dict[int, Tensor] = {}
        for i, states in self._hidden.items():
            value = states.index_select(0, places).index_fill_(0, padding, 0.0)
            found[i] = value.view(*mask.shape, -1).to(batch.ids.device, non_blocking=True)
        return found


def _hidden_bytes(slot: Slot, rows: Rows, wants: Wants, precision: torch.dtype) -> int:
    if not wants.hidden:
        return 0
    width = slot.config.get("hidden", slot.config.get("hidden_size"))
    if width is None:
        raise SpecError(f"hidden states were asked of a teacher without a hidden width: {slot.builder!r}.")
    return len(wants.hidden) * len(rows.ids) * int(width) * precision.itemsize


def _cache_key(slot: Slot, rows: Rows, ctx: Context) -> str:
    tokens = hashlib.sha256(rows.keys.numpy().tobytes()).hexdigest()
    return digest([_VERSION, slot.content, tokens, str(ctx.precision), ctx.device.type])
