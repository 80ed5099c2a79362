"""Embeddings of an encoder, whose vocabulary can be cut to the words of one data set while it trains."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.contracts import Batch, Dropout
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.models.linear import Linear


class WordEmbedding(nn.Module):
    """A table of word vectors, ``weight`` [vocabulary, width], that can train on a few of its rows.

    ``trim`` makes those rows the parameter: gradients, optimizer state and clipping then cost a fraction of the
    whole table's. Ids given to ``forward`` are the tokenizer's in either state. ``restore`` writes the rows back.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocabulary, width))
        self.vocabulary = vocabulary
        # Held in plain tuples: what is aside must not show in parameters() or state_dict().
        self._aside: tuple[nn.Parameter, ...] = ()  # the whole table, while trimmed
        self._kept: tuple[nn.Parameter, Tensor] | None = None  # the last trimmed parameter and its ids
        self._remap: Tensor | None = None  # [vocabulary], -1 where an id was cut

    @property
    def trimmed(self) -> bool:
        """Whether ``weight`` holds only some of the rows now."""
        return bool(self._aside)

    def trim(self, ids: Tensor) -> None:
        """Keep only the rows of these ids (any order, repeats allowed) as the parameter, on its own device.

        After ``restore``, trimming to the same ids brings back the very same Parameter with the table's present
        values, so that an optimizer made before stays valid. Raises SpecError where an id is outside of the
        table or it is trimmed already.
        """
        if self.trimmed:
            raise SpecError("a word embedding is trimmed once at a time, but it is trimmed already; restore it first.")
        wanted = torch.unique(ids.reshape(-1)).to(self.weight.device)
        if len(wanted) == 0 or int(wanted[0]) < 0 or int(wanted[-1]) >= self.vocabulary:
            got = f"ids from {int(wanted[0])} to {int(wanted[-1])}" if len(wanted) else "no ids"
            raise SpecError(f"ids to keep lie in 0..{self.vocabulary - 1}, but got {got}.")
        whole = self.weight
        rows = whole.detach()[wanted]
        if self._kept is not None and torch.equal(self._kept[1], wanted):
            part = self._kept[0]
            part.data.copy_(rows)
        else:
            part = nn.Parameter(rows, requires_grad=whole.requires_grad)
        remap = torch.full((self.vocabulary,), -1, device=wanted.device)
        remap[wanted] = torch.arange(len(wanted), device=wanted.device)
        self._aside, self._kept, self._remap = (whole,), (part, wanted), remap
        self.weight = part

    def restore(self) -> None:
        """Write the trained rows back and make the whole table the parameter again. Nothing where not trimmed."""
        if not self.trimmed or self._kept is None:
            return
        part, wanted = self._kept
        whole = self._aside[0]
        with torch.no_grad():
            whole.data[wanted] = part.detach()
        self._aside, self._remap = (), None
        self.weight = whole

    def forward(self, ids: Tensor) -> Tensor:
        """ids: [batch, length] of the tokenizer -> [batch, length, width]. An id that was cut is an IndexError.

        While trimmed on a CPU the gradient is sparse: a batch holds few of the rows, and a dense one would cost a
        pass over all of them.
        """
        if self._remap is None:
            return functional.embedding(ids, self.weight)
        return functional.embedding(self._remap[ids], self.weight, sparse=self.weight.device.type == "cpu")


class Embeddings(nn.Module):
    """Word, position and segment vectors, summed and normalised, projected where their width is not the hidden one.

    Positions count from 0 in all families (checkpoints that count from another number are shifted when read).
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        width = shape.embedding or shape.hidden
        self.word = WordEmbedding(shape.vocabulary, width)
        self.position = nn.Embedding(shape.positions, width, _weight=torch.zeros(shape.positions, width))
        self.token_type: nn.Embedding | None = None
        if shape.token_types:
            self.token_type = nn.Embedding(shape.token_types, width, _weight=torch.zeros(shape.token_types, width))
        self.norm = nn.LayerNorm(width, eps=shape.norm_eps)
        self.projection: Linear | None = Linear(width, shape.hidden) if shape.is_projected else None

    def forward(self, batch: Batch, dropout: Dropout | None, rate: float) -> Tensor:
        """[batch, length, hidden]. Raises SpecError where rows are longer than the table of positions."""
        length = batch.ids.shape[1]
        if length > self.position.num_embeddings:
            most = self.position.num_embeddings
            raise SpecError(f"rows have at most {most} tokens for this model, but got {length} (see --max-length).")
        words, types = self.word(batch.ids), batch.types
        if batch.transform is not None:
            words, types = batch.transform.embeddings(words), batch.transform.segments(types)
        total = words + self.position.weight[:length]
        if self.token_type is not None:
            total = total + self.token_type(types)
        total = self.norm(total)
        if dropout is not None:
            total = dropout(total, rate)
        return cast(Tensor, total if self.projection is None else self.projection(total))
