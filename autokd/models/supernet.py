"""A supernet: one encoder whose leading parts are many smaller ones, all with the same weights.

A sub-network runs with slices of the supernet's own parameters, so that its gradients reach them; taken out, it is an
ordinary encoder with the same outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autokd.contracts import Batch, Dropout, Network, Outputs, Slot, Wants
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.models.elastic import cut, encoder_of
from autokd.models.embeddings import WordEmbedding
from autokd.models.encoder import Encoder
from autokd.models.slicing import leading, sliced
from autokd.models.slots import build, make_slot
from autokd.models.subspaces import Architecture, Subspace

SUPERNET = "autokd.models.supernet:Supernet"
_WORDS = "embeddings.word.weight"


class Supernet(Network):
    """Every sub-network of a sub-space, in the weights of one encoder with all layers (``Subspace.store``).

    Slicing takes leading rows and columns; heads keep their width. Run as it is, it is its largest sub-network.
    """

    def __init__(self, shape: EncoderShape, subspace: Subspace) -> None:
        super().__init__()
        self.shape, self.subspace = shape, subspace
        self.encoder = Encoder(shape)
        self._members: dict[Architecture, Member] = {}  # no modules of this one: they have no weights of their own

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Supernet:
        """From ``{"shape": EncoderShape.to_json(), "subspace": Subspace.to_json()}``; further keys are left alone."""
        return cls(EncoderShape.from_json(config["shape"]), Subspace.from_json(config["subspace"]))

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """What a sub-network computes with, by the names of an ``Encoder``; gradients reach the supernet's parameters.

        Made anew for each pass: a slice that was kept would be old after an optimizer's step.
        """
        return sliced(dict(self.encoder.named_parameters()), self.shape, architecture.kept(self.shape))

    def member(self, architecture: Architecture) -> Member:
        """A sub-network, called as a ``Network`` is. Raises SpecError where it does not lie in this supernet."""
        if architecture not in self._members:
            self._members[architecture] = Member(self, architecture)
        return self._members[architecture]

    def forward(self, batch: Batch, wants: Wants = Wants(), *, dropout: Dropout | None = None) -> Outputs:  # type: ignore[override]  # noqa: B008
        return self.member(self.subspace.largest)(batch, wants, dropout=dropout)


class Member:
    """One sub-network of a supernet, with the supernet's present weights."""

    def __init__(self, supernet: Supernet, architecture: Architecture) -> None:
        shape = architecture.shape(supernet.shape)
        architecture.kept(supernet.shape)  # does it fit?
        with torch.device("meta"):  # the structure alone: every pass brings the weights
            self._network = Encoder(shape)
        self._network.embeddings.word = NarrowWords(supernet.encoder.embeddings.word, shape)  # type: ignore[assignment]
        self._supernet, self.architecture = supernet, architecture

    def __call__(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
    ) -> Outputs:
        weights = self._supernet.weights(self.architecture)
        weights.pop(_WORDS)
        return cast(Outputs, functional_call(self._network, weights, (batch, wants), {"dropout": dropout}))


class NarrowWords(nn.Module):
    """The leading channels of a supernet's word vectors, which may be trimmed to the words of one data set.

    Whole rows are looked up and then cut: a look-up's gradient is sparse, and no slice of a table has a sparse one.
    """

    def __init__(self, table: WordEmbedding, shape: EncoderShape) -> None:
        super().__init__()
        self.table = table
        self._width = shape.embedding or shape.hidden

    def forward(self, ids: Tensor) -> Tensor:
        """ids: [batch, length] of the tokenizer -> [batch, length, width]."""
        found: Tensor = self.table(ids)
        return found[..., : self._width]


def supernet_from(teacher: Slot, shape: EncoderShape, subspace: Subspace) -> Slot:
    """A supernet that starts as the leading parts of a teacher of this shape, which it remembers by content."""
    store = subspace.store(shape)
    start = cut(teacher, leading(shape, store, range(shape.depth)))
    config = {"shape": store.to_json(), "subspace": subspace.to_json(), "learnt_from": teacher.content}
    supernet = Supernet.from_config(config)
    supernet.encoder.load_state_dict(start.weights)
    return make_slot(supernet, config, builder=SUPERNET, tokenizer=teacher.tokenizer)


def supernet_of(slot: Slot) -> Supernet:
    """A fresh supernet with a slot's weights. Raises SpecError for a slot that holds none."""
    module = build(slot)
    if not isinstance(module, Supernet):
        raise SpecError(f"sub-networks lie in supernets, but got a network of {slot.builder!r}.")
    return module


def extract(slot: Slot, architecture: Architecture) -> Slot:
    """A sub-network as a network of its own, really smaller. Raises SpecError for a slot that is no supernet."""
    supernet = supernet_of(slot)
    live = supernet.weights(architecture)
    weights = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in live.items()}
    return encoder_of(architecture.shape(supernet.shape), weights, slot.tokenizer)
