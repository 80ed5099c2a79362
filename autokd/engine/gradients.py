"""Gradients between the backward pass and the next one: their norm, their bound, and sparse ones made whole.

A word table's gradient is sparse (``models.embeddings``): a step sees a thousand of its many rows. It is put into a
buffer that is kept, of which only those rows are cleared, instead of a new table of zeros at every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Gradients:
    """The gradients of a loop's parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._buffers: dict[int, Tensor] = {}
        self._touched: list[tuple[Tensor, Tensor]] = []  # (buffer, its rows that are not zero)

    @torch.no_grad()
    def settle(self, max_norm: float) -> None:
        """Bound the norm of all gradients together by ``max_norm`` (0: no bound) and make each of them dense."""
        found = {i: p.grad for i, p in enumerate(self._parameters) if p.grad is not None}
        sparse = {i: gradient.coalesce() for i, gradient in found.items() if gradient.is_sparse}
        dense = [gradient for gradient in found.values() if not gradient.is_sparse]
        if max_norm > 0:
            _bound([*dense, *(gradient.values() for gradient in sparse.values())], max_norm)
        for i, gradient in sparse.items():
            self._parameters[i].grad = self._whole(i, gradient)

    def clear(self) -> None:
        """No gradients, as before the next backward pass."""
        for buffer, rows in self._touched:
            buffer.index_fill_(0, rows, 0.0)
        self._touched.clear()
        for parameter in self._parameters:
            parameter.grad = None

    def _whole(self, i: int, gradient: Tensor) -> Tensor:
        if i not in self._buffers:
            self._buffers[i] = torch.zeros_like(self._parameters[i])
        buffer, rows = self._buffers[i], gradient.indices()[0]
        buffer.index_copy_(0, rows, gradient.values())
        self._touched.append((buffer, rows))
        return buffer


def _bound(gradients: list[Tensor], max_norm: float) -> None:
    """Scale the gradients in place so that their common norm is at most ``max_norm``."""
    if not gradients:
        return
    norms = torch._foreach_norm(gradients)
    total = torch.linalg.vector_norm(torch.stack(norms))
    if total.device.type == "cpu" and bool(total <= max_norm):  # elsewhere nobody waits for the device to know
        return
    torch._foreach_mul_(gradients, torch.clamp(max_norm / (total + 1e-6), max=1.0))
