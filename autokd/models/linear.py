"""Linear layers whose weights start at zero: nothing here draws from torch's global random generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INIT_STD = 0.02  # of BERT's truncated-normal start; the plain normal is what its common ports use


class Linear(nn.Linear):
    """``nn.Linear`` that starts at zero instead of drawing, and that may have no inputs or no outputs at all.

    Weights come from a checkpoint, from another network, or from ``initialise`` with a generator of one's own.
    """

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def for_products(value: Tensor) -> Tensor:
    """The value as matrix products will read it under autocast: converted once where several products share it."""
    kind = value.device.type
    if not torch.is_autocast_enabled(kind):
        return value
    return value.to(torch.get_autocast_dtype(kind))


def initialise(module: nn.Module, seed: int) -> None:
    """Draw every matrix below ``module`` from a normal of standard deviation 0.02; vectors keep their start.

    One generator walks the parameters in the order of their names in the module, so that equal modules and equal
    seeds give equal weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            draw_normal(parameter, generator)


def draw_normal(parameter: Tensor, generator: torch.Generator) -> None:
    """Fill a tensor in place from a normal of standard deviation 0.02, drawn on the CPU from this generator."""
    with torch.no_grad():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * INIT_STD)
