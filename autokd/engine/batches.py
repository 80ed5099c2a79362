"""From ragged rows to padded batches, with little padding and nothing dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import Batch, Outputs, Rows
from autokd.core.seeds import Seeds
from autokd.engine.length import batches_of

# The most padding, as a share of all positions, that an epoch's batches may hold if sorting can avoid it.
_PADDING_SHARE = 0.045


def collate(rows: Rows, indices: Tensor, width: int | None = None) -> Batch:
    """The batch of the rows at ``indices`` [batch], padded with zeros to ``width`` (None: the longest of them)."""
    return rows.batch(indices, width)


def scoring_batches(rows: Rows, batch_size: int) -> Iterator[Batch]:
    """Every row once, sorted by length: batches that depend on nothing but the rows themselves.

    Of rows that are scored as a whole there is one batch.
    """
    order = torch.argsort(rows.lengths, stable=True)
    batch_size = len(order) if rows.whole else batch_size
    for start in range(0, len(order), batch_size):
        yield collate(rows, order[start : start + batch_size])


def few_widths(longest: int, limit: int) -> int:
    """The width for a batch whose longest row has ``longest`` tokens, where no row at all has more than ``limit``.

    Matrix products are compiled for each width that occurs, which costs time once and memory for good. So widths
    above 32 are rounded up to multiples of 2, above 64 of 4, and so on: 2 % in the mean, never 6 %.
    """
    step = 1 if longest < 32 else 2 ** (longest.bit_length() - 5)
    return min(-(-longest // step) * step, limit)


def padding_share(lengths: np.ndarray, order: np.ndarray, batch_size: int) -> float:
    """The share of positions that are padding when rows of these lengths are batched in this order."""
    limit = int(lengths.max())
    real, total = 0, 0
    for start in range(0, len(order), batch_size):
        batch = lengths[order[start : start + batch_size]]
        real += int(batch.sum())
        total += few_widths(int(batch.max()), limit) * len(batch)
    return 1.0 - real / total


@dataclass
class _Position:
    epoch: int = 0
    step: int = 0


class LengthBuckets:
    """A BatchSource of shuffled batches whose rows have similar lengths.

    Each epoch is a fresh shuffle of all rows, cut into pools; a pool's rows are sorted by length and cut into
    batches; the batches are shuffled. The pool is the smallest (most random) one that keeps padding under 5 %.
    Every row comes once an epoch, so the last batch of a sorted order may be smaller. An epoch's order depends on
    the seeds and its number alone, so a position is two integers.
    """

    def __init__(self, rows: Rows, batch_size: int, seeds: Seeds) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch must hold at least one row, but got batch_size {batch_size}.")
        if len(rows) == 0:
            raise ValueError("batches need at least one row, but got none.")
        self.steps_per_epoch = batches_of(len(rows), batch_size)
        self._rows = rows
        self._lengths = rows.lengths.numpy()
        self._limit = int(self._lengths.max())
        self._batch_size = batch_size
        self._seeds = seeds
        self._pool = self._smallest_pool()
        self._position = _Position()
        self._batches: list[np.ndarray] = []

    def next(self) -> Batch:
        """The next batch; epochs follow each other without end."""
        if not self._batches:
            self._batches = self._plan(self._position.epoch)
        chosen = self._batches[self._position.step]
        width = few_widths(int(self._lengths[chosen].max()), self._limit)
        batch = collate(self._rows, torch.from_numpy(chosen), width)
        self._position.step += 1
        if self._position.step == self.steps_per_epoch:
            self._position = _Position(self._position.epoch + 1, 0)
            self._batches = []
        return batch

    def observe(self, outputs: Outputs) -> None:
        """Buckets do not learn from what the student makes of them."""

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._position.epoch, "step": self._position.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._position = _Position(int(state["epoch"]), int(state["step"]))
        self._batches = []

    def _smallest_pool(self) -> int:
        order = self._draw(0).permutation(len(self._rows))
        pool = 4 * self._batch_size
        while pool < len(order):
            if (
                padding_share(self._lengths, _sorted_pools(self._lengths, order, pool), self._batch_size)
                < _PADDING_SHARE
            ):
                return pool
            pool *= 2
        return pool

    def _plan(self, epoch: int) -> list[np.ndarray]:
        draw = self._draw(epoch)
        order = _sorted_pools(self._lengths, draw.permutation(len(self._rows)), self._pool)
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return [batches[i] for i in draw.permutation(len(batches))]

    def _draw(self, epoch: int) -> np.random.Generator:
        return self._seeds.numpy(f"data:{epoch}")


def _sorted_pools(lengths: np.ndarray, order: np.ndarray, pool: int) -> np.ndarray:
    """The order with each stretch of ``pool`` rows sorted by length; ties keep their random order."""
    parts = [order[start : start + pool] for start in range(0, len(order), pool)]
    return np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
