"""The shape of an encoder as a plain value, and its size and cost in closed form.

Kept apart from the network itself so that a search can reason about shapes without importing torch.
"MACs" are multiply-accumulates of matrix products for one sequence; embedding look-ups cost none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from autokd.core.canonical import digest

KEY_PARTS = ":"  # between a speed key and the method of an int8 form
_NO_SPEED = ("dropout", "norm_eps", "pad_id")


@dataclass(frozen=True)
class LayerShape:
    """One transformer layer: ``heads`` of ``head_width`` each, and the feed-forward width ``ffn``.

    ``ffn_use`` names the module that fills the feed-forward seam (an address as in pipelines; empty: the dense
    network) and ``ffn_args`` what it is built with. ``ffn`` is the width that one token passes through;
    ``ffn_copies`` how many networks of that width are stored (experts). ``gate`` says what a linear map without bias
    reads to choose one of the copies: every ``token``, or once the mean of a ``row``; empty: there is no such map.
    """

    heads: int
    head_width: int
    ffn: int
    ffn_copies: int = 1
    ffn_use: str = ""
    ffn_args: Mapping[str, Any] = field(default_factory=dict)
    gate: str = ""


@dataclass(frozen=True)
class EncoderShape:
    """A BERT-like encoder with a classification head, whose layers may all differ."""

    vocabulary: int
    positions: int
    hidden: int
    layers: tuple[LayerShape, ...]
    labels: int
    token_types: int = 2
    embedding: int = 0  # width of the word embeddings; 0: the same as ``hidden``
    family: str = "bert"
    activation: str = "gelu"
    norm_eps: float = 1e-12
    pad_id: int = 0
    dropout: float = 0.1

    @property
    def depth(self) -> int:
        return len(self.layers)

    @property
    def is_projected(self) -> bool:
        """Whether embeddings are of another width than the hidden states, and projected to them."""
        return self.embedding not in (0, self.hidden)

    def with_layers(self, layers: tuple[LayerShape, ...]) -> EncoderShape:
        return replace(self, layers=layers)

    def macs(self, length: float) -> float:
        """Multiply-accumulates of one forward pass over one sequence of ``length`` tokens, look-ups apart."""
        total = 0.0
        for layer in self.layers:
            inner = layer.heads * layer.head_width
            total += length * (4 * self.hidden * inner + 2 * self.hidden * layer.ffn)
            total += 2 * length * length * inner
            total += {"token": length, "row": 1, "": 0}[layer.gate] * self.hidden * layer.ffn_copies
        if self.is_projected:
            total += length * self.embedding * self.hidden
        return total + self.hidden * self.hidden + self.hidden * self.labels

    def params(self) -> int:
        """How many parameters are stored, embeddings and all copies of experts included; buffers are not counted.

        For the dense network, copies of it and their gate; a network with further parameters in the feed-forward seam
        has to be counted.
        """
        return self._params([layer.ffn_copies for layer in self.layers])

    def active_params(self) -> int:
        """How many parameters one token meets: as ``params``, with one expert of each layer."""
        return self._params([1] * self.depth)

    def _params(self, copies: Sequence[int]) -> int:
        """Parameters with so many of each layer's copies."""
        width = self.embedding or self.hidden
        total = width * (self.vocabulary + self.positions + self.token_types + 2)
        if self.is_projected:
            total += (width + 1) * self.hidden
        for layer, n_copies in zip(self.layers, copies, strict=True):
            inner = layer.heads * layer.head_width
            total += 3 * (self.hidden + 1) * inner + (inner + 1) * self.hidden + 2 * self.hidden
            total += n_copies * ((2 * self.hidden + 1) * layer.ffn + 3 * self.hidden)
            total += self.hidden * layer.ffn_copies if layer.gate else 0
        return total + (self.hidden + 1) * (self.hidden + self.labels)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EncoderShape:
        layers = tuple(LayerShape(**layer) for layer in value["layers"])
        return EncoderShape(**{**value, "layers": layers})


def speed_key(shape: EncoderShape, form: str, method: str = "") -> str:
    """A name for what a student's speed and size on disk depend on: its shape, whatever its rates of dropout, and the
    form in which it ships.

    An int8 form is also told by its ``method`` (``dynamic`` or ``static``), once that was chosen: see ``KEY_PARTS``.
    """
    key = digest([{name: value for name, value in shape.to_json().items() if name not in _NO_SPEED}, form])
    return f"{key}{KEY_PARTS}{method}" if method else key


@dataclass(frozen=True)
class GraphShape(EncoderShape):
    """A network on the nodes of a graph: ``stages`` dense layers, after each of which ``gcn`` adds up neighbours.

    Of an encoder's fields it has ``vocabulary`` (features of a node), ``hidden`` (width), ``labels``, ``activation``
    and ``dropout``; there are no positions and no transformer layers. ``family`` is ``gcn`` or ``mlp`` (no neighbours).
    ``residual`` adds what a node itself was before its neighbours came.
    ``filled`` is how many features a node has in the mean: the others are 0 and cost nothing.
    """

    stages: int = 2
    residual: bool = False
    filled: float = 0.0

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the features, and of what each dense layer makes."""
        return (self.vocabulary, *(self.hidden,) * (self.stages - 1), self.labels)

    def macs(self, length: float) -> float:
        """Multiply-accumulates for one node of a pass over the whole graph, in which a node reads ``length`` others in
        the mean, itself included."""
        made = self.widths[1:]
        dense = self.filled * made[0] + sum(a * b for a, b in pairwise(made))
        return dense + (length * sum(made) if self.family == "gcn" else 0.0)

    def params(self) -> int:
        return sum((a + 1) * b for a, b in pairwise(self.widths))

    def active_params(self) -> int:
        return self.params()

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> GraphShape:
        return GraphShape(**{**value, "layers": ()})


def graph_shape(
    features: int,
    labels: int,
    filled: float,
    *,
    family: str = "gcn",
    hidden: int = 16,
    stages: int = 2,
    residual: bool = False,
    activation: str = "relu",
    dropout: float = 0.5,
) -> GraphShape:
    """A graph network's shape."""
    return GraphShape(
        vocabulary=features,
        positions=0,
        hidden=hidden,
        layers=(),
        labels=labels,
        token_types=0,
        family=family,
        activation=activation,
        dropout=dropout,
        stages=stages,
        residual=residual,
        filled=filled,
    )
