"""Spaces of sub-networks: every combination of a few depths, numbers of heads, hidden widths and feed-forward widths.

All layers of a sub-network are alike. The tables are those of the papers, for BERT-base; a smaller teacher has them in
proportion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from statistics import mean
from types import MappingProxyType
from typing import Any

from autokd.core.errors import SpecError, unknown
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.slicing import Kept, leading

_ROUNDING = 1e-9


@dataclass(frozen=True, order=True)
class Architecture:
    """A sub-network: ``layers`` of ``heads`` heads and ``ffn`` neurons each, over ``hidden`` channels."""

    layers: int
    heads: int
    hidden: int
    ffn: int

    def shape(self, whole: EncoderShape) -> EncoderShape:
        """The sub-network's shape inside ``whole``."""
        layers = tuple(LayerShape(self.heads, whole.layers[i].head_width, self.ffn) for i in self.depths(whole.depth))
        embedding = whole.embedding if whole.is_projected else 0
        return replace(whole, hidden=self.hidden, layers=layers, embedding=embedding)

    def kept(self, whole: EncoderShape) -> Kept:
        """What of ``whole`` it is made of. Raises SpecError where it does not fit."""
        return leading(whole, self.shape(whole), self.depths(whole.depth))

    def depths(self, depth: int) -> tuple[int, ...]:
        """Which of ``depth`` layers it has (0-based): the i-th is ``floor(i * depth / layers)`` (arXiv:2201.12507)."""
        return tuple(i * depth // self.layers for i in range(self.layers))


@dataclass(frozen=True)
class Subspace:
    """Every combination of these choices, each in rising order. ``ratios``: neurons per hidden channel."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    hidden: tuple[int, ...]
    ratios: tuple[float, ...]

    def architectures(self) -> tuple[Architecture, ...]:
        """All sub-networks, each once, from the smallest to the largest in every dimension."""
        return _architectures(self)

    @property
    def smallest(self) -> Architecture:
        return self.chosen(0, 0, 0, 0)

    @property
    def largest(self) -> Architecture:
        return self.chosen(-1, -1, -1, -1)

    def chosen(self, layers: int, heads: int, hidden: int, ratios: int) -> Architecture:
        """The sub-network with these choices, each by its number from 0."""
        width = self.hidden[hidden]
        return Architecture(self.layers[layers], self.heads[heads], width, int(self.ratios[ratios] * width + _ROUNDING))

    def at(self, layers: float, heads: float, hidden: float, ratio: float) -> Architecture:
        """The sub-network at a place in [0, 1] of each dimension's choices: 0 the least, 1 the most."""
        of = self.layers, self.heads, self.hidden, self.ratios
        places = (layers, heads, hidden, ratio)
        return self.chosen(*(int(place * (len(each) - 1) + 0.5) for place, each in zip(places, of, strict=True)))

    def store(self, whole: EncoderShape) -> EncoderShape:
        """The narrowest network of all of ``whole``'s layers that every sub-network lies in."""
        most = self.largest
        return Architecture(whole.depth, most.heads, most.hidden, most.ffn).shape(whole)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Subspace:
        return Subspace(**{name: tuple(choices) for name, choices in value.items()})


@lru_cache(maxsize=32)
def _architectures(found: Subspace) -> tuple[Architecture, ...]:
    places = product(*(range(len(each)) for each in (found.layers, found.heads, found.hidden, found.ratios)))
    return tuple(dict.fromkeys(found.chosen(*each) for each in places))


@dataclass(frozen=True)
class SupernetSizes:
    """What forecasts know of a supernet: its sub-space, the shape of the network that it lies in, and how it splits
    texts where that need not be as the teacher does (a hash, as in ``BaseModel``)."""

    subspace: Subspace
    shape: EncoderShape
    tokenizer: str = ""

    def macs(self, architecture: Architecture, length: float) -> float:
        return architecture.shape(self.shape).macs(length)

    def mean_macs(self, length: float) -> float:
        return mean(self.macs(each, length) for each in self.subspace.architectures())


# What the papers' tables are made for: BERT-base.
_LAYERS, _HEADS, _HIDDEN, _RATIO = 12, 12, 768, 4.0

_MLP = (2.5, 3.0, 3.5, 4.0)
# AutoDistil's three sub-spaces of 256 (arXiv:2201.12507, its released configurations), and the two of
# Mixture-of-Supernets whose layers are alike, of 550 and 840 (arXiv:2306.04845, its released code's v5.1 and v5.2).
PUBLISHED: Mapping[str, Subspace] = MappingProxyType(
    {
        "base": Subspace((9, 10, 11, 12), (9, 10, 11, 12), (544, 576, 608, 640), _MLP),
        "small": Subspace((9, 10, 11, 12), (7, 8, 9, 10), (256, 288, 320, 352), _MLP),
        "tiny": Subspace((4, 5, 6, 7), (7, 8, 9, 10), (128, 160, 192, 224), (2.0, 2.5, 3.0, 3.5)),
        "wide": Subspace((12,), (6, 12), tuple(range(120, 769, 12)), (2.0, *_MLP)),
        "wide_and_deep": Subspace((6, 9, 12), (6, 12), tuple(range(120, 769, 24)), (2.0, *_MLP)),
    }
)


def subspace(name: str, teacher: EncoderShape) -> Subspace:
    """A published sub-space inside a teacher, in proportion where that is smaller than BERT-base.

    Each dimension goes by itself: its ends are scaled and rounded outwards, and between them lie as many choices as
    published, evenly, but whole numbers only. So six layers instead of twelve make 9 to 12 layers 4, 5 or 6. Where
    embeddings are projected to hidden states, these cannot be as wide as those: such a choice is left out.
    Raises SpecError for an unknown name, and where no width is left.
    """
    if name not in PUBLISHED:
        raise SpecError(unknown("sub-space", name, PUBLISHED))
    found = PUBLISHED[name]
    heads = min(layer.heads for layer in teacher.layers)
    ratio = min(1.0, min(layer.ffn for layer in teacher.layers) / teacher.hidden / _RATIO)
    widths = _scaled(found.hidden, teacher.hidden, _HIDDEN)
    hidden = tuple(width for width in widths if not (teacher.is_projected and width == teacher.embedding))
    if not hidden:
        raise SpecError(f"projected embeddings are of another width than hidden states, but {name!r} has {widths}.")
    return Subspace(
        layers=_scaled(found.layers, teacher.depth, _LAYERS),
        heads=_scaled(found.heads, heads, _HEADS),
        hidden=hidden,
        ratios=tuple(ratio * each for each in found.ratios),
    )


def _scaled(choices: Sequence[int], size: int, of: int) -> tuple[int, ...]:
    if size >= of:
        return tuple(choices)
    low, high = choices[0] * size // of, -(-choices[-1] * size // of)
    low = max(low, 1)
    count = min(len(choices), high - low + 1)
    return tuple(low + (high - low) * i // max(count - 1, 1) for i in range(count))
