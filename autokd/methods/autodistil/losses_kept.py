"""Losses of sub-networks, kept by content: a supernet's are computed once for all trials, whatever their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple

from autokd.contracts import Context
from autokd.core.canonical import Json, digest
from autokd.engine.kept_numbers import kept_numbers
from autokd.models.subspaces import Architecture

Loss = Callable[[Architecture], float]


@contextmanager
def kept_losses(key: Json, loss: Loss, ctx: Context) -> Iterator[Loss]:
    """The losses of one supernet by ``key``, everything that decides them; nobody else computes them meanwhile."""
    file = ctx.cache / "subnets" / f"{digest([key, str(ctx.precision), ctx.device.type])}.jsonl"
    with kept_numbers(file, ctx.should_pause, "losses of sub-networks") as kept:
        yield lambda architecture: kept.of(astuple(architecture), lambda: loss(architecture))
