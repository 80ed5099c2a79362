"""Augmenters: other texts once (word swaps), or a recipe for each batch (mixup)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import Batch, Context, Cost, Facts, Sizes
from autokd.core.task import Split
from autokd.methods.basics import checks


@dataclass(frozen=True)
class WordSwap:
    """Rewrites texts: in the copy that is trained on beside the rows, some words changed places.

    What: of a text's n words, ``round(share * n)`` times (at least once) a word is exchanged with a neighbour; both
        texts of a pair are changed; the label is the source row's. Texts of one word stay as they are.
    Equation: trained on are rows + swapped(rows); behind other text augmenters, rows + swapped(their copy).
    Symbols: share: fraction of the words that are swapped (the paper's ``aug_p``, 0.3 in most of its trials).
    Source: Distiller, arXiv:2109.11105 (its augmentation "random").
    Differences: words are split at white space and the swaps are drawn here, not by nlpaug; a row's swaps are drawn
        once.
    """

    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"text"}))

    share: float = 0.3

    def __post_init__(self) -> None:
        checks.number(self, "share", 0, 1)

    def rewrite(self, rows: Split, ctx: Context) -> Split:
        """The rows with swapped words."""
        draw = ctx.seeds.numpy("expand:word_swap")
        return rows.with_texts(tuple(swap_words(text, self.share, draw) for text in rows.texts))

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(0.0)


def swap_words(text: str, share: float, draw: np.random.Generator) -> str:
    """The text after ``max(1, round(share * n_words))`` exchanges of neighbours, at places drawn independently."""
    words = text.split()
    if len(words) < 2:
        return text
    for place in draw.integers(0, len(words) - 1, size=max(1, round(share * len(words)))):
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


@dataclass(frozen=True)
class MixupRecipe:
    """Each row mixed with its partner, behind the clean rows: ``cat(x, weight * x + (1 - weight) * x[partner])``.

    ``partner``: int64 [batch], a permutation; ``weight`` in [0, 1], one number for the whole batch.
    """

    weight: float
    partner: Tensor

    def _mixed(self, value: Tensor) -> Tensor:
        partner = value[self.partner.to(value.device)]
        return torch.cat([value, self.weight * value + (1 - self.weight) * partner])

    def embeddings(self, value: Tensor) -> Tensor:
        """[batch, length, width] -> [2 * batch, length, width]."""
        return self._mixed(value)

    def mask(self, value: Tensor) -> Tensor:
        """[batch, length] -> [2 * batch, length]: a mixed row is real wherever one of its two sources is."""
        return torch.cat([value, torch.maximum(value, value[self.partner.to(value.device)])])

    def segments(self, value: Tensor) -> Tensor:
        """[batch, length] -> [2 * batch, length]: a mixed row keeps its own segments, not its partner's."""
        return torch.cat([value, value])

    def targets(self, value: Tensor) -> Tensor:
        """[batch, n_outputs] -> [2 * batch, n_outputs]."""
        return self._mixed(value)


@dataclass(frozen=True)
class Mixup:
    """Adds to each batch one mixture of every row with another one; teacher and student read the same mixtures.

    What: one weight and one permutation per batch; word embeddings, masks and gold targets are mixed, each network
        with its own embeddings, and all objectives see clean and mixed rows alike.
    Equation: ``E' = lambda * E(x) + (1 - lambda) * E(x[perm])``, ``lambda ~ Beta(alpha, alpha)``
    Symbols: alpha: both parameters of the Beta distribution (0.4 in the paper's code).
    Source: Distiller, arXiv:2109.11105 (its augmentation "mixup").
    Differences: a mixed row's mask is the union of both (the released code keeps the first one's, which hides the
        longer partner's tail), its segments are its own; gold labels, where an objective reads them, are mixed too.
        Not with hash-routed experts: a mixture of two tokens has no token id. Not where teacher and student have
        different tokenizers: they would mix different places of two texts.
    """

    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"text"}), forbids=frozenset({"hash_routed", "other_tokenizers"}))
    factor: ClassVar[float] = 2.0

    alpha: float = 0.4

    def __post_init__(self) -> None:
        checks.above(self, "alpha", 0)

    def transform(self, batch: Batch, draw: np.random.Generator) -> Batch:
        weight = float(draw.beta(self.alpha, self.alpha))
        partner = torch.from_numpy(draw.permutation(len(batch)))
        return replace(batch, transform=MixupRecipe(weight, partner))
