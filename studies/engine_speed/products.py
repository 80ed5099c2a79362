"""The products alone: training steps that hold nothing but their matrix products.

No engine on the same library trains faster than this: there is no softmax, norm, activation, loss, optimizer or
loading of data in it, no padding beyond that of rows sorted by length, and the operands never change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from ideal import student_shape
from torch.nn import functional

Product = Callable[[], torch.Tensor]


def products_rate(layers: int, lengths: Sequence[int], batch: int, precision: str) -> float:
    """Samples per second over batches of rows sorted by length, forward once and backward twice."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    ordered = sorted(lengths)
    batches = [ordered[i : i + batch] for i in range(0, len(ordered), batch)]
    steps = {max(rows): _layer(len(rows), max(rows), dtype) for rows in batches}
    with torch.no_grad():
        for layer in steps.values():
            _run(layer)
        began = time.perf_counter()
        for rows in batches:
            for _ in range(layers):
                _run(steps[max(rows)])
        return len(ordered) / (time.perf_counter() - began)


def _run(products: Sequence[Product]) -> None:
    for product in products:
        product()


def _layer(rows: int, length: int, dtype: torch.dtype) -> list[Product]:
    """One layer's products for a batch of this many rows of this length."""
    shape = student_shape(1)
    layer, hidden = shape.layers[0], shape.hidden
    inner = layer.heads * layer.head_width
    linear = [(hidden, inner)] * 3 + [(inner, hidden), (hidden, layer.ffn), (layer.ffn, hidden)]
    found = [product for sizes in linear for product in _linear(rows * length, *sizes, dtype)]
    heads = torch.randn(rows * layer.heads, length, layer.head_width).to(dtype)
    scores = torch.randn(rows * layer.heads, length, length).to(dtype)
    # Q K^T and shares V, forward; then the gradients of both operands of each.
    found += [lambda: torch.bmm(heads, heads.transpose(1, 2)), lambda: torch.bmm(scores, heads)]
    found += [lambda: torch.bmm(scores, heads), lambda: torch.bmm(scores.transpose(1, 2), heads)]
    found += [lambda: torch.bmm(heads, heads.transpose(1, 2)), lambda: torch.bmm(scores.transpose(1, 2), heads)]
    return found


def _linear(tokens: int, inputs: int, outputs: int, dtype: torch.dtype) -> list[Product]:
    """A linear layer's product, and those of its two gradients."""
    read, told = torch.randn(tokens, inputs).to(dtype), torch.randn(tokens, outputs).to(dtype)
    weight, bias = torch.randn(outputs, inputs).to(dtype), torch.zeros(outputs, dtype=dtype)
    return [lambda: functional.linear(read, weight, bias), lambda: told.mm(weight), lambda: told.t().mm(read)]
