"""Size and cost of a network as it stands: its parameters, and its multiply-accumulates in a counted run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autokd.contracts import Batch, Network


def count_parameters(module: nn.Module) -> int:
    """How many numbers are trained in ``module``; a parameter used in two places counts once, buffers do not."""
    return sum(parameter.numel() for parameter in module.parameters())


def _weighted_sum_flops(weight: Tensor, indices: Tensor, *_: Any, out_val: Any = None, **__: Any) -> int:
    return 2 * indices.numel() * weight.shape[1]


_weighted_sum_flops._get_raw = True  # type: ignore[attr-defined] # tensors, not their shapes
_SPARSE_PRODUCTS = {
    torch.ops.aten._embedding_bag: _weighted_sum_flops,
    torch.ops.aten._embedding_bag_forward_only: _weighted_sum_flops,
}


def counted_macs(network: Network, batch: Batch) -> int:
    """Multiply-accumulates of matrix products in one evaluation pass over ``batch``, all its rows and padding.

    Counted while the network runs (look-ups, norms and activations cost none), to check what closed forms promise.
    Attention runs in its plain form meanwhile, whose products are the same ones. A sum of weighted rows counts as the
    product with a sparse matrix that it is: one for each entry that is stored.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_SPARSE_PRODUCTS)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(batch)
    return int(counter.get_total_flops()) // 2
