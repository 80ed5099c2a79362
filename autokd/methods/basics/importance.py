"""How important each part of a network is to its task: layers, hidden channels, attention heads and neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from autokd.contracts import Batch, Context, Rows, Slot, Wants
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.scan import scan
from autokd.models.elastic import require_dense, shape_of
from autokd.models.encoder import Encoder
from autokd.models.slots import build


@dataclass(frozen=True)
class Importance:
    """Scores of a network's parts, higher for those that matter more: ``layers`` [depth], ``hidden`` [hidden], what the
    classifier reads ``pooled`` [hidden], and for each layer its ``heads`` [heads] and ``neurons`` [ffn]."""

    layers: Tensor
    hidden: Tensor
    pooled: Tensor
    heads: Sequence[Tensor]
    neurons: Sequence[Tensor]


def importance(source: Slot, rows: Rows, batch_size: int, ctx: Context) -> Importance:
    """Importance by one pass forward and back over these rows, whose labels are read.

    Heads, neurons and channels: ``sum over rows of |dL/dm|`` at ``m = 1``, L a row's own loss and m what multiplies the
    unit in that row; ``dL/dm`` is the sum over tokens of activation times gradient (arXiv:1611.06440; for heads
    arXiv:1905.10650). A channel has one such score in each hidden state, each state's scaled to length 1, and their
    sum is its own. Layers: ``sum over real tokens of 1 - cos(input, output)`` (arXiv:2403.03853). Gradients are
    exactly 0 at padding. Raises SpecError where a layer is not dense.
    """
    shape = shape_of(source)
    for i, layer in enumerate(shape.layers):
        require_dense(layer, i)
    model = build(source).to(ctx.device).requires_grad_(False)
    assert isinstance(model, Encoder)
    model.embeddings.norm.requires_grad_(True)  # or the embedding output would have no gradient

    def measure(batch: Batch) -> list[Tensor]:
        return scores_of_batch(model, batch)

    found = scan(measure, rows, batch_size, ctx)
    depth = shape.depth
    states, pooled, layers = found[2 * depth :]
    hidden = functional.normalize(states, dim=1).sum(0)
    return Importance(layers, hidden, pooled, found[:depth], found[depth : 2 * depth])


def scores_of_batch(model: Encoder, batch: Batch) -> list[Tensor]:
    """Sums over a batch's rows: of each layer's heads and then of each layer's neurons, of the channels in every hidden
    state [depth + 1, hidden], of what the classifier reads [hidden], and of the layers [depth]."""
    layers = model.shape.layers
    heads = [torch.ones(len(batch), layer.heads, device=batch.ids.device, requires_grad=True) for layer in layers]
    neurons = [torch.ones(len(batch), layer.ffn, device=batch.ids.device, requires_grad=True) for layer in layers]
    wants = Wants(hidden=frozenset(range(len(layers) + 1)))
    read: list[Tensor] = []
    with torch.enable_grad(), model.classifier.register_forward_pre_hook(lambda _, inputs: read.extend(inputs)):
        outputs = model(batch, wants, head_masks=heads, neuron_masks=neurons)
        states = [outputs.hidden[i] for i in sorted(outputs.hidden)]
        loss = task_loss(outputs.logits, batch) * len(batch)  # a sum: each row's own gradient
        found = torch.autograd.grad(loss, [*heads, *neurons, *states, *read], materialize_grads=True)
    units, (*gradients, last) = found[: 2 * len(layers)], found[2 * len(layers) :]
    states = [state.detach() for state in states]
    pooled = (read[0].detach() * last).abs().sum(0)
    channels = [(state * gradient).sum(1).abs().sum(0) for state, gradient in zip(states, gradients, strict=True)]
    turns = [turn(one, next_one, batch.mask) for one, next_one in pairwise(states)]
    return [*(gradient.abs().sum(0) for gradient in units), torch.stack(channels), pooled, torch.stack(turns)]


def turn(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """How far a layer turns its tokens' states, [batch, length, hidden] each: ``sum of 1 - cos`` over real tokens."""
    return ((1 - functional.cosine_similarity(before, after, dim=-1)) * mask).sum()
