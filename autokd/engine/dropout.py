"""Dropout with a random stream of its own, fast enough on a CPU to be left on.

The protocol is ``contracts.Dropout``. On a CPU, the random bits come from NumPy's SFC64 and become a mask by integer
operations on 16 bits per element: several times faster than drawing Bernoulli numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 15  # a mask compares 15 random bits with a threshold


class StreamDropout:
    """Sets a share of the entries to zero and scales the others up, drawing from one named stream.

    ``rate`` (0 <= rate < 1), where given, replaces the rate of every call. The k-th call after equal states draws
    equal masks, whatever else the process draws. On a CPU the rate is rounded to what the scale 1 / (1 - rate)
    allows in the value's precision (0.1 becomes 0.0986 in bfloat16), so that the expectation is kept exactly.
    """

    def __init__(self, seed: int, device: torch.device, rate: float | None = None) -> None:
        if rate is not None:
            _check(rate)
        self._rate = rate
        self._bits = np.random.SFC64(seed)
        self._generator = None if device.type == "cpu" else torch.Generator(device).manual_seed(seed)

    def __call__(self, value: Tensor, rate: float) -> Tensor:
        """The value with entries dropped at this rate (or at the one given to all calls)."""
        rate = rate if self._rate is None else self._rate
        _check(rate)
        if rate == 0.0:
            return value
        if self._generator is not None:
            keep = torch.empty_like(value).bernoulli_(1.0 - rate, generator=self._generator)
            return value * keep.div_(1.0 - rate)
        return value * self._mask(value, rate)

    def state_dict(self) -> dict[str, Any]:
        state = self._bits.state
        told: dict[str, Any] = {"bits": [int(word) for word in state["state"]["state"]]}
        told["rest"] = [int(state["has_uint32"]), int(state["uinteger"])]
        if self._generator is not None:
            told["device"] = self._generator.get_state()
        return told

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        bits = self._bits.state
        bits["state"]["state"] = np.array(state["bits"], dtype=np.uint64)
        bits["has_uint32"], bits["uinteger"] = state["rest"]
        self._bits.state = bits
        if self._generator is not None:
            self._generator.set_state(state["device"])

    def _mask(self, value: Tensor, rate: float) -> Tensor:
        """Zeros and ``scale``, of the value's shape and dtype."""
        n = value.numel()
        scale = torch.tensor(1.0 / (1.0 - rate), dtype=value.dtype)
        threshold = round((1.0 - 1.0 / float(scale)) * _LEVELS)
        draws = self._bits.random_raw((n + 3) // 4).view(np.uint16)[:n]
        draws >>= 1
        kept = draws.view(np.int16)
        np.subtract(threshold - 1, kept, out=kept)
        kept >>= 15  # all bits set where the draw reached the threshold, none elsewhere
        if value.dtype == torch.bfloat16:
            kept &= int(scale.view(torch.int16))
            return torch.from_numpy(kept).view(torch.bfloat16).view(value.shape)
        if value.dtype == torch.float32:
            wide = kept.astype(np.int32)
            wide &= int(scale.view(torch.int32))
            return torch.from_numpy(wide).view(torch.float32).view(value.shape)
        return torch.from_numpy(kept).view(value.shape).ne(0).to(value.dtype) * scale


def _check(rate: float) -> None:
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate lies in [0, 1), but got {rate}.")
