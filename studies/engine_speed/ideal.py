"""The ideal: how fast this machine multiplies matrices, and how much of that a training row needs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autokd.core.shape import EncoderShape, LayerShape

if TYPE_CHECKING:
    from torch import Tensor

# Rows x inner x columns: a student's own products, and square ones that caches and threads like best.
OWN = ((1024, 384, 1536), (1024, 1536, 384), (1024, 384, 384))
SHAPES = (*OWN, (1024, 1024, 1024), (2048, 2048, 2048))
_SECONDS_EACH = 0.12


def matmul_rates(precision: str) -> list[float]:
    """FLOP/s of each of SHAPES in this process, as it is set up now (its threads, its library)."""
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return [_rate(*(torch.randn(*size).to(dtype) for size in (shape[:2], shape[1:]))) for shape in SHAPES]


def _rate(left: Tensor, right: Tensor) -> float:
    left @ right
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < _SECONDS_EACH or len(times) < 3:
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return 2 * left.shape[0] * left.shape[1] * right.shape[1] / statistics.median(times)


def student_shape(layers: int) -> EncoderShape:
    """A student cut out of all-MiniLM-L6-v2."""
    layer = LayerShape(heads=12, head_width=32, ffn=1536)
    return EncoderShape(vocabulary=30522, positions=512, hidden=384, layers=(layer,) * layers, labels=2)


def training_flops(layers: int, lengths: Sequence[int]) -> float:
    """The least arithmetic that one training step on these rows needs: the student's products on real tokens.

    Forward once, backward twice that, two FLOPs per multiply-accumulate. Padding counts as waste, and so does the
    teacher, whose outputs never change.
    """
    shape = student_shape(layers)
    return sum(6 * shape.macs(length) for length in lengths)
