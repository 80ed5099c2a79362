"""An encoder as a graph for inference: the logits of ``Encoder`` from fewer and larger products."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.models.attention import Attention
from autokd.models.encoder import POOLING, Encoder, Layer
from autokd.models.ffn import FfnInput, activation
from autokd.models.linear import Linear

_FAR_AWAY = -3.0e4  # added to the score of padding, whose softmax is then exactly 0


class OnnxNetwork(nn.Module):
    """What is exported: the tokenizer's outputs in, each int64 [batch, length]; logits [batch, labels] out.

    Differs from the encoder in form only. Queries, keys and values of a layer are one product; weights lie as a
    product reads them, so that a quantizer finds constants; and of the last layer only the first token is computed,
    which is all that the classifier reads (after attention for all, where the feed-forward network reads rows).
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        embeddings = encoder.embeddings
        self.words = embeddings.word.weight
        self.positions = embeddings.position.weight
        self.types = None if embeddings.token_type is None else embeddings.token_type.weight
        self.norm = embeddings.norm
        self.projection = None if embeddings.projection is None else Product([embeddings.projection])
        last = encoder.shape.depth - 1
        layers = [cast(Layer, layer) for layer in encoder.layers]
        self.layers = nn.ModuleList(OnnxLayer(layer, first_only=i == last) for i, layer in enumerate(layers))
        self.pooler = Product([encoder.pooler])
        self.classifier = Product([encoder.classifier])
        self._pool = activation(POOLING[encoder.shape.family])

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        hidden = self._embed(input_ids, token_type_ids)
        bias = ((1 - attention_mask).to(hidden.dtype) * _FAR_AWAY).unsqueeze(1).unsqueeze(1)
        tokens = FfnInput(input_ids, attention_mask)
        for layer in self.layers:
            hidden = layer(hidden, bias, tokens)
        return cast(Tensor, self.classifier(self._pool(self.pooler(hidden[:, 0]))))

    def _embed(self, ids: Tensor, types: Tensor | None) -> Tensor:
        total = functional.embedding(ids, self.words) + self.positions[: ids.shape[1]]
        if self.types is not None:
            total = total + (self.types[0] if types is None else functional.embedding(types, self.types))
        total = self.norm(total)
        return cast(Tensor, total if self.projection is None else self.projection(total))


class FirstToken(Protocol):
    """A feed-forward network that reads rows, as the seam describes it."""

    def first_token(self, hidden: Tensor, tokens: FfnInput) -> Tensor: ...


class OnnxLayer(nn.Module):
    """A transformer layer; with ``first_only`` its output is that of the first token alone, [batch, 1, hidden]."""

    def __init__(self, layer: Layer, *, first_only: bool) -> None:
        super().__init__()
        self.reads_row = first_only and hasattr(layer.ffn, "first_token")
        kind = FirstTokenAttention if first_only and not self.reads_row else SelfAttention
        self.attention = kind(layer.attention) if layer.attention.heads else NoHeads(layer.attention)
        self.ffn = layer.ffn
        self.first_only = first_only

    def forward(self, hidden: Tensor, bias: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden]; bias: [batch, 1, 1, length], added to attention's scores."""
        hidden = self.attention(hidden, bias)
        if self.reads_row:
            return cast(FirstToken, self.ffn).first_token(hidden, tokens)
        if self.first_only:
            hidden, tokens = hidden[:, :1], FfnInput(tokens.ids[:, :1], tokens.mask[:, :1])
        return cast(Tensor, self.ffn(hidden, tokens))


class NoHeads(nn.Module):
    """Attention that has lost all its heads: LayerNorm(x + bias of the output)."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.bias = attention.output.bias
        self.norm = attention.norm

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        return cast(Tensor, self.norm(hidden + self.bias))


class SelfAttention(nn.Module):
    """LayerNorm(x + output(heads)) for every token."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.width = attention.heads, attention.head_width
        self.read = Product([attention.query, attention.key, attention.value], scale_first=self.width**-0.5)
        self.output = Product([attention.output])
        self.norm = attention.norm

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (_by_head(part, self.heads) for part in self.read(hidden).chunk(3, dim=-1))
        return cast(Tensor, self.norm(hidden + self.output(_context(query, key, value, bias))))


class FirstTokenAttention(nn.Module):
    """The same for the first token alone, which attends to all: [batch, 1, hidden]."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.width = attention.heads, attention.head_width
        self.ask = Product([attention.query], scale_first=self.width**-0.5)
        self.read = Product([attention.key, attention.value])
        self.output = Product([attention.output])
        self.norm = attention.norm

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        first = hidden[:, :1]
        key, value = (_by_head(part, self.heads) for part in self.read(hidden).chunk(2, dim=-1))
        query = _by_head(self.ask(first), self.heads)
        return cast(Tensor, self.norm(first + self.output(_context(query, key, value, bias))))


class Product(nn.Module):
    """Linear layers of one input as one product, x @ weight + bias: weight [in, all outs], bias [all outs].

    ``scale_first`` multiplies the first layer's part.
    """

    def __init__(self, parts: list[Linear], *, scale_first: float = 1.0) -> None:
        super().__init__()
        scales = [scale_first, *[1.0] * (len(parts) - 1)]
        weights = [part.weight.detach().t() * scale for part, scale in zip(parts, scales, strict=True)]
        biases = [part.bias.detach() * scale for part, scale in zip(parts, scales, strict=True)]
        self.weight = nn.Parameter(torch.cat(weights, dim=1).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False)

    def forward(self, value: Tensor) -> Tensor:
        return value @ self.weight + self.bias


def _by_head(value: Tensor, heads: int) -> Tensor:
    """[batch, length, inner] -> [batch, heads, length, head_width]."""
    return value.view(*value.shape[:2], heads, -1).transpose(1, 2)


def _context(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The heads' weighted values, [batch, length of query, inner]; queries are scaled already."""
    shares = torch.softmax(query @ key.transpose(2, 3) + bias, dim=-1)
    return (shares @ value).transpose(1, 2).flatten(2)
