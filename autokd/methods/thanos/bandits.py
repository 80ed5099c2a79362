"""One bandit for each node of a graph, whose arms are the node's neighbours, and what it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from autokd.methods.thanos.depround import depround
from autokd.methods.thanos.exp3 import Arms, Bools, Floats, Ints, inclusion_probabilities, updated

# From embeddings times weights [n_drawn, d], their nodes, the number of nodes, and inclusion probabilities; an
# embedding's largest squared norm that its node has seen is 1 by then.
Reward = Callable[[Floats, Ints, int, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Played:
    """What some bandits drew: ``arms`` are theirs, side by side; ``chosen`` [n_arms]; ``p, capped`` it was drawn by.

    ``places`` [n_arms] are the arms' places among those of all bandits.
    """

    arms: Arms
    places: Ints
    chosen: Bools
    p: Floats
    capped: Bools


class Bandits:
    """The weights of all bandits. ``restart`` steps after the last time all weights start anew (0: never).

    ``reward`` reads embeddings in units of the largest norm that the bandit has seen since its start (``scales`` holds
    the squares), so that nothing depends on how large embeddings happen to be.
    """

    def __init__(self, everything: Arms, plays: int, *, gamma: float, eta: float, restart: int, reward: Reward) -> None:
        self._arms, self._plays, self._gamma, self._eta, self._restart = everything, plays, gamma, eta, restart
        self._reward = reward
        self.weights: Floats = np.ones(len(everything.owners))
        self.scales: Floats = np.zeros(len(everything.counts))
        self._step = 0

    def play(self, arms: Arms, places: Ints, draw: np.random.Generator) -> Played:
        """Draw for some bandits, whose arms lie at ``places``."""
        p, capped = inclusion_probabilities(self.weights[places], arms, self._plays, self._gamma)
        return Played(arms, places, depround(p, arms, draw), p, capped)

    def learn(self, played: Played, z: Floats) -> None:
        """Take what the chosen arms turned out to be, ``z`` [n_chosen, d] in the order of the arms."""
        drawn = np.flatnonzero(played.chosen)
        owners = played.arms.owners[drawn]
        bandits = self._arms.owners[played.places[played.arms.offsets[:-1]]]
        norms = (z * z).sum(axis=1)
        np.maximum.at(self.scales, bandits[owners], norms)
        units = np.maximum(self.scales[bandits[owners]], np.finfo(np.float64).tiny)
        found = self._reward(z / np.sqrt(units)[:, None], owners, len(bandits), played.p[drawn])
        self.weights[played.places] = updated(
            self.weights[played.places], played.arms, drawn, found, played.p, played.capped, self._plays, self._eta
        )

    def step(self) -> None:
        """One step has passed: start anew where it is time."""
        self._step += 1
        if self._restart and self._step % self._restart == 0:
            self.weights[:] = 1.0
            self.scales[:] = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "weights": torch.from_numpy(self.weights.copy()),
            "scales": torch.from_numpy(self.scales.copy()),
            "step": self._step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weights, self.scales = state["weights"].numpy().copy(), state["scales"].numpy().copy()
        self._step = int(state["step"])
