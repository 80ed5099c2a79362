"""How important each neuron is to the task: what the loss would change without it, to first order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Network, Slot
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.scan import scan
from autokd.models.elastic import require_dense, shape_of
from autokd.models.ffn import DenseFfn
from autokd.models.slots import build


def neuron_importance(source: Slot, ctx: Context, batch_size: int) -> list[Tensor]:
    """Importance of every neuron, per layer [ffn], summed over the training rows (arXiv:2204.07675, equation 4).

    ``I_j = sum over rows of |<w1_j, dL/dw1_j> + <w2_j, dL/dw2_j>|``, L a row's own loss. Both products come from
    gradients of activations, so that a batch takes one backward pass: ``<w2_j, dL/dw2_j>`` is the sum over a row's
    tokens of activation times its gradient, ``<w1_j, dL/dw1_j>`` that of the pre-activation without its bias times its
    gradient; padding has gradients of exactly 0. Raises SpecError where a layer is not dense.
    """
    for i, layer in enumerate(shape_of(source).layers):
        require_dense(layer, i)
    model = build(source).to(ctx.device).requires_grad_(False)
    assert isinstance(model, Network)
    every = [module for module in model.modules() if isinstance(module, DenseFfn)]
    networks = [network for network in every if len(network.up.bias)]  # pruning may have left a layer none

    def measure(batch: Batch) -> list[Tensor]:
        with Taps(networks) as taps, torch.enable_grad():
            loss = task_loss(model(batch).logits, batch) * len(batch)  # a sum: each row's own gradient
            gradients = torch.autograd.grad(loss, [*taps.before, *taps.active])
        depth = len(networks)
        scores = []
        for i, network in enumerate(networks):
            first = (taps.before[i] - network.up.bias) * gradients[i]
            second = taps.active[i] * gradients[depth + i]
            scores.append((first + second).detach().sum(1).abs().sum(0))
        return scores

    found = iter(scan(measure, ctx.rows("train", source), batch_size, ctx) if networks else ())
    return [next(found) if len(network.up.bias) else network.up.bias.new_zeros(0) for network in every]


class Taps:
    """Inside the ``with``, the networks' neurons before and after activation, [batch, length, ffn], with gradients."""

    def __init__(self, networks: Sequence[DenseFfn]) -> None:
        self.before: list[Tensor] = []
        self.active: list[Tensor] = []
        self._networks = networks
        self._handles: list[Any] = []

    def __enter__(self) -> Taps:
        for network in self._networks:
            self._handles.append(network.up.register_forward_hook(self._tap_up))
            self._handles.append(network.down.register_forward_pre_hook(self._tap_down))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _tap_up(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        found = output if output.requires_grad else output.requires_grad_()
        self.before.append(found)
        return found

    def _tap_down(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        self.active.append(inputs[0])
