"""Losses of sub-networks, kept by content: a supernet's are computed once for all trials, whatever their limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from autokd.contracts import Context
from autokd.core.canonical import Json, digest
from autokd.core.disk import naming
from autokd.core.errors import Paused
from autokd.engine.locks import held
from autokd.models.subspaces import Architecture


class KeptLosses:
    """A file with one JSON line per sub-network: its four numbers and its loss. A line that a kill cut off is none."""

    def __init__(self, file: Path, loss: Callable[[Architecture], float], should_pause: Callable[[], bool]) -> None:
        self._file, self._loss, self._should_pause = file, loss, should_pause
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        if text and not text.endswith("\n"):
            file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        self._known = {Architecture(*shape): float(loss) for *shape, loss in map(json.loads, lines)}

    def of(self, architecture: Architecture) -> float:
        """The loss of a sub-network. Raises Paused when asked to stop before one that is not known yet."""
        if architecture not in self._known:
            if self._should_pause():
                raise Paused(f"after the losses of {len(self._known)} sub-networks")
            self._known[architecture] = self._loss(architecture)
            with naming(self._file), self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*astuple(architecture), self._known[architecture]]) + "\n")
        return self._known[architecture]


@contextmanager
def kept_losses(key: Json, loss: Callable[[Architecture], float], ctx: Context) -> Iterator[KeptLosses]:
    """The losses of one supernet by ``key``, everything that decides them; nobody else computes them meanwhile."""
    file = ctx.cache / "subnets" / f"{digest([key, str(ctx.precision), ctx.device.type])}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file.with_suffix(".lock"), ctx.should_pause, "losses of sub-networks"):
        yield KeptLosses(file, loss, ctx.should_pause)
