"""Number formats and threads: what this machine computes fast, and what it computes right.

Two switches are global to the process and therefore set in one place, once, by the worker that owns the process:
the number of threads, and whether float32 matrix products go through oneDNN. The latter is only done where a
self-test shows that its results stay those of float32 (on some processors it would round to bfloat16 on the way).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal

import torch

from autokd.engine.memory import keep_freed_memory

PrecisionName = Literal["bfloat16", "float32"]
# Largest relative error (against float64, over the largest entry) that float32 rounding explains at these sizes;
# bfloat16 rounding of the inputs gives errors about a hundred times as large.
_FLOAT32_ERROR = 5e-6
_TEST_SHAPES = ((64, 384, 96), (200, 512, 384), (33, 96, 257))


def best_precision(device: torch.device | None = None) -> PrecisionName:
    """``"bfloat16"`` where the device multiplies bfloat16 matrices natively, else ``"float32"``.

    ``device`` None: the GPU where there is one, else the CPU.
    """
    kind = device.type if device is not None else ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of a precision's name. Raises ValueError for names other than the two."""
    if name not in ("bfloat16", "float32"):
        raise ValueError(f"a precision is 'bfloat16' or 'float32', but got {name!r}.")
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[Any]:
    """The context in which forward passes run: nothing for float32, torch's autocast for bfloat16."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)


def set_threads(n: int) -> None:
    """Make this process a worker of ``n`` CPU threads; choose its float32 product (see above); keep freed memory.

    Raises ValueError for fewer than one thread.
    """
    if n < 1:
        raise ValueError(f"a worker needs at least one thread, but got {n}.")
    torch.set_num_threads(n)
    keep_freed_memory()
    choose_float32_matmul()


@cache
def choose_float32_matmul() -> bool:
    """Switch float32 matrix products on CPU to oneDNN where they stay exact; True where they were switched.

    oneDNN picks its own kernels when it is allowed to use bfloat16 internally, and takes that allowance only on
    processors with matrix tiles. On others it computes in float32 and does so faster than the default library.
    """
    library: Any = torch.backends.mkldnn
    if not library.is_available():
        return False
    settings = library.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    if products_are_float32():
        return True
    settings.fp32_precision = before
    return False


def products_are_float32() -> bool:
    """Whether plain, biased and batched products of float32 matrices are as exact as float32 allows, right now."""
    draw = torch.Generator().manual_seed(0)
    return all(_worst_error(shape, draw) < _FLOAT32_ERROR for shape in _TEST_SHAPES)


def _worst_error(shape: tuple[int, int, int], draw: torch.Generator) -> float:
    rows, inner, columns = shape
    left = torch.randn(rows, inner, generator=draw)
    right = torch.randn(inner, columns, generator=draw)
    bias = torch.randn(columns, generator=draw)
    exact = left.double() @ right.double()
    pairs = (
        (left @ right, exact),
        (torch.nn.functional.linear(left, right.t().contiguous(), bias), exact + bias.double()),
        (torch.bmm(left.expand(2, -1, -1), right.expand(2, -1, -1))[1], exact),
    )
    return max(float((got.double() - want).abs().max() / want.abs().max()) for got, want in pairs)
