"""Random streams that pair: two arms of a study see the same batches, masks and starting weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """Names a family of random streams by (study seed, stage class, replicate).

    A stream depends on nothing else: not on the stage's position, on what ran before it, nor on how many draws
    other parts made. ``Distil`` run twice in one pipeline therefore sees the same batches twice, which is what
    rewinding experiments rely on.
    """

    study: int
    stage: str = ""
    replicate: int = 0

    def at(self, stage: str, replicate: int | None = None) -> Seeds:
        """The same study's seeds for another stage class (its address, e.g. ``"basics:Distil"``)."""
        return replace(self, stage=stage, replicate=self.replicate if replicate is None else replicate)

    def integer(self, purpose: str) -> int:
        """A 63-bit seed for one purpose: ``"data"``, ``"dropout"``, ``"init:student"`` ..."""
        text = f"{self.study}\0{self.stage}\0{self.replicate}\0{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def numpy(self, purpose: str) -> np.random.Generator:
        """A NumPy generator for one purpose; its ``bit_generator.state`` is plain JSON."""
        return np.random.Generator(np.random.PCG64(self.integer(purpose)))
