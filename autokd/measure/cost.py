"""Size and cost of a network as it stands: its parameters, and its multiply-accumulates in a counted run."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autokd.contracts import Batch, Network


def count_parameters(module: nn.Module) -> int:
    """How many numbers are trained in ``module``; a parameter used in two places counts once, buffers do not."""
    return sum(parameter.numel() for parameter in module.parameters())


def counted_macs(network: Network, batch: Batch) -> int:
    """Multiply-accumulates of matrix products in one evaluation pass over ``batch``, all its rows and padding.

    Counted while the network runs (look-ups, norms and activations cost none), to check what closed forms promise.
    Attention runs in its plain form meanwhile, whose products are the same ones.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(batch)
    return int(counter.get_total_flops()) // 2
