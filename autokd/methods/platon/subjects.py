"""What is pruned: single weights, or heads and neurons as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from autokd.core.shape import LayerShape
from autokd.methods.basics.pruning import encoder_linears, keep_only
from autokd.models.elastic import keep_units, lowest, require_dense
from autokd.models.encoder import Encoder, Layer
from autokd.models.ffn import DenseFfn
from autokd.models.slots import build, encoder_slot


class Subject(Protocol):
    """Something to prune. Masks are boolean, true where a weight or unit is kept."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters whose entries are scored."""

    def rank(self, scores: Sequence[Tensor], share: float) -> list[Tensor]:
        """Masks without the lowest ``share`` by the scores of ``parameters``."""

    def mask(self, kept: Sequence[Tensor]) -> None:
        """Set what is not kept to zero, in place."""

    def finished(self, model: nn.Module, kept: Sequence[Tensor]) -> nn.Module:
        """The model to keep at the end."""


@dataclass(frozen=True)
class Weights:
    """Single weights. ``local``: the same share of each parameter, else of all together."""

    parameters: tuple[Tensor, ...]
    local: bool

    def rank(self, scores: Sequence[Tensor], share: float) -> list[Tensor]:
        return _kept(scores, share, self.local)

    def mask(self, kept: Sequence[Tensor]) -> None:
        keep_only(self.parameters, kept)

    def finished(self, model: nn.Module, kept: Sequence[Tensor]) -> nn.Module:
        self.mask(kept)
        return model


def prunable(model: nn.Module, biases: bool) -> tuple[Tensor, ...]:
    """The attention and feed-forward matrices of all layers (of all experts), with their biases where wanted."""
    linears = encoder_linears(model)
    return tuple(tensor for m in linears for tensor in ((m.weight, m.bias) if biases else (m.weight,)))


class Units:
    """Heads and neurons. A mask is first those of all layers' heads, [heads] each, then of their neurons, [ffn] each.

    Masking sets only what a unit gives to zero (its columns of the output matrix). That equals the network without
    it, and leaves a gradient by which it can come back: with all its weights at zero there would be none.
    """

    def __init__(self, encoder: Encoder, local: bool) -> None:
        """Raises SpecError where something else than the dense network fills a layer's feed-forward seam."""
        for i, layer in enumerate(encoder.shape.layers):
            require_dense(layer, i)
        self._shapes, self._local = encoder.shape.layers, local
        self._layers = [cast(Layer, layer) for layer in encoder.layers]
        self.parameters = [matrix for layer in self._layers for matrix in _matrices(layer)]

    def rank(self, scores: Sequence[Tensor], share: float) -> list[Tensor]:
        heads, neurons = [], []
        for i, shape in enumerate(self._shapes):
            of_heads, of_neurons = unit_sums(scores[6 * i : 6 * i + 6], shape)
            heads.append(of_heads)
            neurons.append(of_neurons)
        return [*_kept(heads, share, self._local), *_kept(neurons, share, self._local)]

    @torch.no_grad()
    def mask(self, kept: Sequence[Tensor]) -> None:
        depth = len(self._layers)
        for layer, shape, heads, neurons in zip(self._layers, self._shapes, kept[:depth], kept[depth:], strict=True):
            *_, from_heads, _, from_neurons = _matrices(layer)
            from_heads.mul_(heads.repeat_interleave(shape.head_width))
            from_neurons.mul_(neurons)

    def finished(self, model: nn.Module, kept: Sequence[Tensor]) -> nn.Module:
        """A network without the units, on the device of the one with them."""
        depth = len(self._layers)
        whole = encoder_slot(cast(Encoder, model))
        return build(keep_units(whole, kept[:depth], kept[depth:])).to(self.parameters[0].device)


def unit_sums(scores: Sequence[Tensor], shape: LayerShape) -> tuple[Tensor, Tensor]:
    """Scores of one layer's heads [heads] and neurons [ffn]: the sums over the weights that belong to each.

    ``scores`` are those of query, key, value [heads * head_width, hidden], output [hidden, heads * head_width],
    up [ffn, hidden] and down [hidden, ffn].
    """
    query, key, value, output, up, down = scores
    inner = query.sum(1) + key.sum(1) + value.sum(1) + output.sum(0)
    return inner.view(shape.heads, shape.head_width).sum(1), up.sum(1) + down.sum(0)


def _matrices(layer: Layer) -> tuple[Tensor, ...]:
    attention, ffn = layer.attention, cast(DenseFfn, layer.ffn)
    parts = (attention.query, attention.key, attention.value, attention.output, ffn.up, ffn.down)
    return tuple(part.weight for part in parts)


def _kept(scores: Sequence[Tensor], share: float, local: bool) -> list[Tensor]:
    """True at all but the lowest: ``round(share * n)`` of all n together or, where ``local``, of each tensor's own."""
    groups = [[score] for score in scores] if local else [scores]
    return [~cut for group in groups for cut in lowest(group, share)]
