"""The student network: a transformer encoder with a classification head whose layers may all differ.

It exists because students need what ready-made encoders lack: heads and neurons that can be scored, masked and cut
per layer, other networks in the feed-forward seam, and queries, keys and values without a slow attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor, nn

from autokd.contracts import Batch, Dropout, Network, Outputs, Wants
from autokd.core.errors import SpecError, unknown
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.attention import Attention, Padding
from autokd.models.embeddings import Embeddings
from autokd.models.ffn import FfnInput, activation, build_ffn
from autokd.models.linear import Linear

# What each family's classification head applies to the first token's dense layer.
POOLING: Mapping[str, str] = MappingProxyType(
    {"bert": "tanh", "roberta": "tanh", "distilbert": "relu", "electra": "gelu"}
)


class Layer(nn.Module):
    """One transformer layer: attention, then whatever fills the feed-forward seam."""

    def __init__(self, layer: LayerShape, shape: EncoderShape) -> None:
        super().__init__()
        self.attention = Attention(layer, shape)
        self.ffn = build_ffn(shape.hidden, layer, shape)


class Encoder(Network):
    """A post-LayerNorm encoder (BERT and its family) of any ``EncoderShape``. Weights start at zero.

    Parameter names: ``embeddings.{word,position,token_type}.weight``, ``embeddings.{norm,projection}``,
    ``layers.{i}.attention.{query,key,value,output,norm}``, ``layers.{i}.ffn.{up,down,norm}``, ``pooler``,
    ``classifier``.
    """

    def __init__(self, shape: EncoderShape) -> None:
        """Raises SpecError for an unknown family, activation or feed-forward network."""
        super().__init__()
        if shape.family not in POOLING:
            raise SpecError(unknown("encoder family", shape.family, POOLING))
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList(Layer(layer, shape) for layer in shape.layers)
        self.pooler = Linear(shape.hidden, shape.hidden)
        self.classifier = Linear(shape.hidden, shape.labels)
        self._pool = activation(POOLING[shape.family])

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Encoder:
        """From ``EncoderShape.to_json()``."""
        return cls(EncoderShape.from_json(config))

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> Outputs:
        """The logits [batch, labels] and what ``wants`` asks for; see ``Network`` and ``Outputs`` for shapes."""
        rate = self.shape.dropout
        mask = batch.mask if batch.transform is None else batch.transform.mask(batch.mask)
        hidden = self.embeddings(batch, dropout, rate)
        padding = Padding(mask, hidden.dtype)
        kept = {0: hidden} if 0 in wants.hidden else {}
        taps: list[tuple[Tensor, Tensor, Tensor]] = []
        gates: list[Tensor] | None = [] if wants.gates else None
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            head_mask = None if head_masks is None else head_masks[i]
            neuron_mask = None if neuron_masks is None else neuron_masks[i]
            hidden, tap = layer.attention(hidden, padding, dropout, rate, head_mask)
            hidden = layer.ffn(hidden, FfnInput(batch.ids, mask, dropout, rate, neuron_mask, gates))
            if i + 1 in wants.hidden:
                kept[i + 1] = hidden
            if wants.attention:
                taps.append(_by_row(tap, hidden.shape[0]))
        return Outputs(self._classify(hidden, dropout), mask, kept, tuple(taps), tuple(gates or ()))

    def _classify(self, hidden: Tensor, dropout: Dropout | None) -> Tensor:
        pooled = self._pool(self.pooler(hidden[:, 0]))
        if dropout is not None:
            pooled = dropout(pooled, self.shape.dropout)
        return cast(Tensor, self.classifier(pooled))


def _by_row(tap: tuple[Tensor, Tensor, Tensor], batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, K, V) as [batch, heads, length, head_width] each."""
    query, key, value = (part.reshape(batch, len(part) // batch, *part.shape[1:]) for part in tap)
    return query, key, value
