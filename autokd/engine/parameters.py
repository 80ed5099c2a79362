"""What trains in a loop: which parameters, in which groups, and over which part of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from autokd.contracts import ParameterGroup
from autokd.core.errors import SpecError


@runtime_checkable
class Trimmable(Protocol):
    """A table of word vectors that can train on some of its rows (``models.embeddings.WordEmbedding``)."""

    def trim(self, ids: Tensor) -> None: ...

    def restore(self) -> None: ...


class Vocabulary:
    """Cuts a model's word tables to the tokens of the training rows, and makes them whole again when asked.

    Rows that never occur have no gradient: training without them gives the same weights for a fraction of the
    optimizer's work. Models without such a table, and ``ids`` None, are left alone.
    """

    def __init__(self, model: nn.Module, ids: Tensor | None) -> None:
        self._tables = [part for part in model.modules() if isinstance(part, Trimmable)] if ids is not None else []
        padding = torch.zeros(1, dtype=torch.int64)
        self._ids = padding if ids is None else torch.unique(torch.cat([padding, ids]))

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Within, the tables' parameters are the rows that occur."""
        self._trim()
        try:
            yield
        finally:
            self._restore()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within ``cut``: the model as everyone else knows it, every row there with its present value."""
        self._restore()
        try:
            yield
        finally:
            self._trim()

    def _trim(self) -> None:
        for table in self._tables:
            table.trim(self._ids)

    def _restore(self) -> None:
        for table in self._tables:
            table.restore()


@contextmanager
def frozen_embeddings(model: nn.Module, freeze: bool) -> Iterator[None]:
    """Within, the embeddings (not their projection) take no gradients, where ``freeze`` says so.

    Raises SpecError for a network without embeddings.
    """
    if not freeze:
        yield
        return
    embeddings = getattr(model, "embeddings", None)
    if not isinstance(embeddings, nn.Module):
        raise SpecError(f"freeze_embeddings needs a network with embeddings, but got {type(model).__name__}.")
    named = embeddings.named_parameters()
    frozen = [p for name, p in named if p.requires_grad and not name.startswith("projection.")]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def parameter_groups(model: nn.Module, terms: Sequence[nn.Module]) -> list[ParameterGroup]:
    """All trainable parameters of student and loss terms, in two groups; a shared parameter comes once.

    Matrices decay; biases, norms and embeddings do not. Names start with ``student.`` or ``terms.<i>.``.
    """
    everything = nn.ModuleDict({"student": model, "terms": nn.ModuleList(terms)})
    still = {
        id(parameter)
        for part in everything.modules()
        if isinstance(part, nn.Embedding | nn.LayerNorm | Trimmable)
        for parameter in part.parameters(recurse=False)
    }
    named = [(name, p) for name, p in everything.named_parameters() if p.requires_grad]
    groups = []
    for decay in (True, False):
        chosen = [(name, p) for name, p in named if (p.dim() >= 2 and id(p) not in still) == decay]
        if chosen:
            names, parameters = zip(*chosen, strict=True)
            groups.append(ParameterGroup(names, parameters, decay))
    return groups
