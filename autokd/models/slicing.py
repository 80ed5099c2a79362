"""Smaller encoders inside larger ones: which layers, hidden channels, heads and neurons stay, and the weights then.

One function serves all that cut: live slices of a supernet, whose gradients reach the whole weights, and copies for a
network of its own. Leading parts are views; any others are picked by their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape

Places = Sequence[int]  # 0-based and without repeats; ``range(n)`` are the leading n


@dataclass(frozen=True)
class Kept:
    """What stays of an encoder: ``layers``, channels of the ``hidden`` states, and for each kept layer, in the order of
    ``layers``, its ``heads`` and ``neurons``.

    ``pooled``: which outputs of the layer before the classifier stay, as many as channels; None: those of the same
    places. Word embeddings are cut as the hidden states are, unless they are projected to them: then they stay whole.
    """

    layers: Places
    hidden: Places
    heads: Sequence[Places]
    neurons: Sequence[Places]
    pooled: Places | None = None


def everything(shape: EncoderShape, layers: Places | None = None) -> Kept:
    """The whole encoder, or all of some of its layers."""
    layers = range(shape.depth) if layers is None else layers
    kept = [shape.layers[i] for i in layers]
    return Kept(layers, range(shape.hidden), [range(each.heads) for each in kept], [range(each.ffn) for each in kept])


def leading(whole: EncoderShape, part: EncoderShape, layers: Places) -> Kept:
    """The leading channels, and of these layers the leading heads and neurons, as many as ``part`` has of each.

    Raises SpecError where ``part`` is larger anywhere, or its heads are of another width.
    """
    rule = "a sub-network is nowhere larger than the network that it lies in"
    if len(layers) != part.depth or part.hidden > whole.hidden:
        raise SpecError(f"{rule}, but got {part.depth} layers for {len(layers)}, hidden {part.hidden}/{whole.hidden}.")
    for i, small in zip(layers, part.layers, strict=True):
        large = whole.layers[i]
        if small.heads > large.heads or small.ffn > large.ffn or small.head_width != large.head_width:
            raise SpecError(f"{rule}, and has heads of its width, but got {small} for layer {i}, which is {large}.")
    heads, neurons = ([range(getattr(each, name)) for each in part.layers] for name in ("heads", "ffn"))
    return Kept(layers, range(part.hidden), heads, neurons)


def sliced_shape(whole: EncoderShape, kept: Kept) -> EncoderShape:
    """The shape of what stays.

    Raises SpecError where something else than the dense network fills a feed-forward seam that would be cut, and where
    hidden states would become as wide as the embeddings that are projected to them.
    """
    layers = []
    for i, heads, neurons in zip(kept.layers, kept.heads, kept.neurons, strict=True):
        layer = whole.layers[i]
        if layer.ffn_use and (len(neurons) < layer.ffn or len(kept.hidden) < whole.hidden):
            raise SpecError(f"dense feed-forward networks can be cut; layer {i} has {layer.ffn_use}.")
        layers.append(replace(layer, heads=len(heads), ffn=len(neurons)))
    hidden = len(kept.hidden)
    if whole.is_projected and hidden == whole.embedding:
        raise SpecError(f"projected embeddings are of another width than hidden states, but both would be {hidden}.")
    embedding = whole.embedding if whole.is_projected or hidden == whole.hidden else 0
    return replace(whole, layers=tuple(layers), hidden=hidden, embedding=embedding)


# Which dimension of a network each axis of a weight has; None: one that is never cut.
_AXES: Mapping[str, tuple[str | None, ...]] = MappingProxyType(
    {
        "embeddings.word.weight": (None, "embedding"),
        "embeddings.position.weight": (None, "embedding"),
        "embeddings.token_type.weight": (None, "embedding"),
        "embeddings.norm.weight": ("embedding",),
        "embeddings.norm.bias": ("embedding",),
        "embeddings.projection.weight": ("hidden", "embedding"),
        "embeddings.projection.bias": ("hidden",),
        "pooler.weight": ("pooled", "hidden"),
        "pooler.bias": ("pooled",),
        "classifier.weight": (None, "pooled"),
        "classifier.bias": (None,),
        **{f"attention.{part}.weight": ("inner", "hidden") for part in ("query", "key", "value")},
        **{f"attention.{part}.bias": ("inner",) for part in ("query", "key", "value")},
        "attention.output.weight": ("hidden", "inner"),
        "attention.output.bias": ("hidden",),
        "attention.norm.weight": ("hidden",),
        "attention.norm.bias": ("hidden",),
        "ffn.up.weight": ("ffn", "hidden"),
        "ffn.up.bias": ("ffn",),
        "ffn.down.weight": ("hidden", "ffn"),
        "ffn.down.bias": ("hidden",),
        "ffn.norm.weight": ("hidden",),
        "ffn.norm.bias": ("hidden",),
    }
)


def sliced(weights: Mapping[str, Tensor], whole: EncoderShape, kept: Kept) -> dict[str, Tensor]:
    """The weights of what stays, by the names of an encoder of ``sliced_shape(whole, kept)``.

    Where ``weights`` are parameters, gradients of the result reach them. Leading parts share their memory.
    """
    common: dict[str, Places | None] = {
        "hidden": kept.hidden,
        "embedding": None if whole.is_projected else kept.hidden,
        "pooled": kept.hidden if kept.pooled is None else kept.pooled,
    }
    inside = [
        common | {"inner": _inner(whole.layers[i], heads), "ffn": neurons}
        for i, heads, neurons in zip(kept.layers, kept.heads, kept.neurons, strict=True)
    ]
    places = {old: new for new, old in enumerate(kept.layers)}
    found = {}
    for name, value in weights.items():
        head, _, rest = name.partition(".")
        if head != "layers":
            found[name] = _cut(value, name, common)
            continue
        number, _, inner = rest.partition(".")
        new = places.get(int(number))
        if new is not None:
            found[f"layers.{new}.{inner}"] = _cut(value, inner, inside[new])
    return found


def _inner(layer: LayerShape, heads: Places) -> Places:
    """Channels of queries, keys and values that belong to these heads."""
    width = layer.head_width
    if heads == range(len(heads)):
        return range(len(heads) * width)
    return [head * width + k for head in heads for k in range(width)]


def _cut(value: Tensor, name: str, places: Mapping[str, Places | None]) -> Tensor:
    """Weights of other networks than the dense one have no axes here: ``sliced_shape`` lets nobody cut them."""
    for dim, axis in enumerate(_AXES.get(name, ())):
        index = places[axis] if axis is not None else None
        if index is not None:
            value = _taken(value, index, dim)
    return value


def _taken(value: Tensor, index: Places, dim: int) -> Tensor:
    if index == range(len(index)):
        return value if len(index) == value.shape[dim] else value.narrow(dim, 0, len(index))
    return value.index_select(dim, torch.tensor(index, dtype=torch.long, device=value.device))
