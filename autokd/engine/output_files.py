"""The files of one teacher's outputs on one set of rows: raw arrays that are memory-mapped when read.

``logits.bin`` is float32 [n_rows, n_outputs]; ``hidden-<i>.bin`` is [n_tokens, width] in the precision of training,
tokens in the order of ``Rows.ids``. A file under its own name is complete. Whoever fills holds the folder's lock,
leaves what was computed when stopped, and continues what another one left.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Outputs, Rows, Wants
from autokd.core.errors import Paused
from autokd.engine.batches import scoring_batches
from autokd.engine.locks import held
from autokd.engine.precision import autocast

_GROUP = 64  # rows per pass: part of what the numbers depend on, as their order is
_NOTE_SECONDS = 10.0


@dataclass(frozen=True)
class OutputFiles:
    """The folder of one teacher, one set of rows and one precision."""

    folder: Path
    rows: Rows
    ctx: Context

    def logits(self) -> Tensor:
        """[n_rows, n_outputs] float32, memory-mapped."""
        return self._map("logits", len(self.rows), torch.float32)

    def hidden(self, index: int) -> Tensor:
        """[n_tokens, width] of one hidden state, in the precision of training, memory-mapped."""
        return self._map(f"hidden-{index}", len(self.rows.ids), self.ctx.precision)

    def fill(self, hidden: Iterable[int], network: Callable[[], nn.Module]) -> None:
        """Compute what is missing of logits and these hidden states. Raises Paused when asked to stop."""
        names = ["logits", *(f"hidden-{i}" for i in sorted(hidden))]
        if not self._missing(names):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder / "lock", self.ctx.should_pause, "the teacher's outputs"):
            missing = self._missing(names)
            if missing:
                self._compute(missing, network())
                for name in missing:
                    self._part(name).replace(self._path(name))
                (self.folder / "progress.json").unlink(missing_ok=True)

    def _compute(self, names: list[str], network: nn.Module) -> None:
        wants = Wants(frozenset(int(name.partition("-")[2]) for name in names if name != "logits"))
        done = self._progress(names)
        noted = time.monotonic()
        parts: dict[str, Tensor] = {}
        for group, batch in enumerate(scoring_batches(self.rows, _GROUP)):
            if group < done:
                continue
            if self.ctx.should_pause():
                self._note(names, group)
                raise Paused(f"while computing a teacher's outputs, at group {group}")
            with torch.no_grad(), autocast(self.ctx.device, self.ctx.precision):
                seen: Outputs = network(batch.to(self.ctx.device), wants)
            for name in names:
                self._write(parts, name, seen, batch)
            if time.monotonic() - noted > _NOTE_SECONDS:
                self._note(names, group + 1)
                noted = time.monotonic()

    def _write(self, parts: dict[str, Tensor], name: str, seen: Outputs, batch: Batch) -> None:
        if name == "logits":
            value, places = seen.logits.float().cpu(), batch.rows
            n, dtype = len(self.rows), torch.float32
        else:
            real = batch.mask.bool()
            places = (self.rows.offsets[batch.rows].unsqueeze(1) + torch.arange(real.shape[1]))[real]
            value = seen.hidden[int(name.partition("-")[2])].to(self.ctx.precision).cpu()[real]
            n, dtype = len(self.rows.ids), self.ctx.precision
        if name not in parts:
            shape = (n, value.shape[1])
            flat = torch.from_file(str(self._part(name)), shared=True, size=shape[0] * shape[1], dtype=dtype)
            parts[name] = flat.view(shape)
        parts[name][places] = value

    def _map(self, name: str, n: int, dtype: torch.dtype) -> Tensor:
        path = self._path(name)
        size = path.stat().st_size // dtype.itemsize
        return torch.from_file(str(path), shared=False, size=size, dtype=dtype).view(n, -1)

    def _missing(self, names: list[str]) -> list[str]:
        return [name for name in names if not self._path(name).is_file()]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.part"

    def _progress(self, names: list[str]) -> int:
        """How many groups someone who was stopped has left for exactly these files."""
        path = self.folder / "progress.json"
        if not path.is_file() or not all(self._part(name).is_file() for name in names):
            return 0
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return int(told["groups"]) if told["names"] == names else 0

    def _note(self, names: list[str], groups: int) -> None:
        work = self.folder / f".progress.{os.getpid()}"
        work.write_text(json.dumps({"names": names, "groups": groups}), encoding="utf-8")
        work.replace(self.folder / "progress.json")
