"""Self-attention with any number of heads, of any width, down to none at all."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.contracts import Dropout
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.linear import Linear, for_products

# Added to the score of padding: its softmax is exactly 0 in every precision, float16 included.
_FAR_AWAY = -3.0e4


class Padding:
    """The padding mask of one batch, in the form that attention adds to its scores; made once for all layers."""

    def __init__(self, mask: Tensor, dtype: torch.dtype) -> None:
        """mask: [batch, length], 1 real, 0 padding. On a CPU a batch without padding costs nothing further."""
        self._bias: Tensor | None = None
        self._by_heads: dict[int, Tensor] = {}
        if _looks_beforehand(mask) and bool(mask.all()):
            return
        self._bias = (1 - mask).to(dtype).mul_(_FAR_AWAY).unsqueeze(1)

    def per_head(self, heads: int) -> Tensor | None:
        """[batch * heads, 1, length], or None where nothing is padded."""
        if self._bias is None:
            return None
        if heads not in self._by_heads:
            self._by_heads[heads] = self._bias.repeat_interleave(heads, dim=0)
        return self._by_heads[heads]

    def per_row(self) -> Tensor | None:
        """[batch, 1, 1, length], or None where nothing is padded."""
        return None if self._bias is None else self._bias.unsqueeze(1)


def _looks_beforehand(mask: Tensor) -> bool:
    """Whether to ask for padding at all: a GPU would have to wait, and a traced network would keep the answer."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return mask.device.type == "cpu" and not traced


class Attention(nn.Module):
    """LayerNorm(x + output(concatenated heads)), each head softmax(Q K^T / sqrt(head_width)) V.

    Without any head the block is LayerNorm(x + bias of ``output``), as if all heads were masked.
    """

    def __init__(self, layer: LayerShape, shape: EncoderShape) -> None:
        super().__init__()
        inner = layer.heads * layer.head_width
        self.heads, self.head_width = layer.heads, layer.head_width
        self.query = Linear(shape.hidden, inner)
        self.key = Linear(shape.hidden, inner)
        self.value = Linear(shape.hidden, inner)
        self.output = Linear(inner, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.norm_eps)

    def forward(
        self, hidden: Tensor, padding: Padding, dropout: Dropout | None, rate: float, head_mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """hidden: [batch, length, hidden] -> (the block's output, (Q, K, V) each [batch * heads, length, head_width]).

        ``head_mask`` [heads], or [batch, heads] for each row its own, multiplies each head's context before the output
        product.
        """
        if self.heads == 0:
            nothing = hidden.new_zeros(0, hidden.shape[1], self.head_width)
            added = self.output.bias.expand_as(hidden)
            taps = (nothing, nothing, nothing)
        else:
            read = for_products(hidden)
            taps = (self._split(self.query(read)), self._split(self.key(read)), self._split(self.value(read)))
            added = self.output(self._merge(self._context(taps, padding, dropout, rate), hidden.shape[0], head_mask))
        if dropout is not None:
            added = dropout(added, rate)
        return cast(Tensor, self.norm(hidden + added)), taps

    def _context(
        self, taps: tuple[Tensor, Tensor, Tensor], padding: Padding, dropout: Dropout | None, rate: float
    ) -> Tensor:
        """The heads' weighted values, [batch * heads, length, head_width]."""
        query, key, value = taps
        if query.device.type != "cpu" and dropout is None:
            rows = (-1, self.heads, query.shape[1], self.head_width)
            bias = padding.per_row()
            found = functional.scaled_dot_product_attention(
                query.view(rows), key.view(rows), value.view(rows), None if bias is None else bias.to(query.dtype)
            )
            return found.reshape(-1, query.shape[1], self.head_width)
        # On a CPU the plain products' backward pass is faster than the fused kernel's for sentences' lengths; and
        # dropout has to draw from its own stream, which the fused kernel cannot.
        scale = float(self.head_width) ** -0.5
        bias = padding.per_head(self.heads)
        if bias is None:
            scores = torch.bmm(query * scale, key.transpose(1, 2))
        else:
            scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)
        shares = torch.softmax(scores, dim=-1)
        return torch.bmm(shares if dropout is None else dropout(shares, rate), value)

    def _split(self, value: Tensor) -> Tensor:
        """[batch, length, inner] -> [batch * heads, length, head_width]."""
        batch, length, _ = value.shape
        split = value.view(batch, length, self.heads, self.head_width).transpose(1, 2)
        return split.reshape(batch * self.heads, length, self.head_width)

    def _merge(self, context: Tensor, batch: int, head_mask: Tensor | None) -> Tensor:
        """[batch * heads, length, head_width] -> [batch, length, inner]."""
        split = context.view(batch, self.heads, -1, self.head_width)
        if head_mask is not None:
            split = split * head_mask.unsqueeze(-1).unsqueeze(-1)
        return split.transpose(1, 2).reshape(batch, -1, self.heads * self.head_width)
