"""Who draws neighbours for nodes that have more than are drawn: chance alone, or a bandit for each node and layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from autokd.methods.thanos.bandits import Bandits, Played
from autokd.methods.thanos.depround import evenly
from autokd.methods.thanos.exp3 import Arms, Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Drawn:
    """``chosen`` [n_arms] of the targets' arms, side by side; ``scales`` [n_arms] multiply their weights in the sum."""

    chosen: Bools
    scales: Floats
    played: Played | None = None


class Chooser(Protocol):
    """Draws neighbours for nodes that have more than are drawn."""

    def draw(self, hop: int, targets: Ints, draw: np.random.Generator) -> Drawn:
        """For the bandits ``targets``, by their numbers among those of the hop."""

    def learn(self, hop: int, drawn: Drawn, z: Floats) -> None:
        """Take the chosen neighbours' embeddings times weights [n_chosen, d]."""

    def step(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class EvenChooser:
    """Every set of k neighbours alike; learns nothing."""

    def __init__(self, crowded: Arms, k: int) -> None:
        self._crowded, self._k = crowded, k

    def draw(self, hop: int, targets: Ints, draw: np.random.Generator) -> Drawn:
        arms, _ = self._crowded.take(targets)
        return Drawn(evenly(arms, self._k, draw), arms.counts[arms.owners] / self._k)

    def learn(self, hop: int, drawn: Drawn, z: Floats) -> None:
        """There is nothing to learn."""

    def step(self) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is no state."""


class BanditChooser:
    """One bandit for each node and layer. ``unbiased``: sums are weighted by ``1 / p``, otherwise by ``D / k``."""

    def __init__(self, crowded: Arms, k: int, bandits: Sequence[Bandits], *, unbiased: bool) -> None:
        self._crowded, self._k, self.bandits, self._unbiased = crowded, k, tuple(bandits), unbiased

    def draw(self, hop: int, targets: Ints, draw: np.random.Generator) -> Drawn:
        arms, places = self._crowded.take(targets)
        played = self.bandits[hop].play(arms, places, draw)
        scales = 1 / played.p if self._unbiased else arms.counts[arms.owners] / self._k
        return Drawn(played.chosen, scales, played)

    def learn(self, hop: int, drawn: Drawn, z: Floats) -> None:
        assert drawn.played is not None
        self.bandits[hop].learn(drawn.played, z)

    def step(self) -> None:
        for bandits in self.bandits:
            bandits.step()

    def state_dict(self) -> dict[str, Any]:
        return {"bandits": [bandits.state_dict() for bandits in self.bandits]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for bandits, told in zip(self.bandits, state["bandits"], strict=True):
            bandits.load_state_dict(told)
