"""A supernet whose feed-forward matrices are mixtures of several, by a mixture that each architecture has of its own.

Only weights are mixed, before any text is read: whichever sub-network is run or taken out is an ordinary encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.models.linear import Linear
from autokd.models.slots import make_slot
from autokd.models.subspaces import Architecture, Subspace
from autokd.models.supernet import Supernet, supernet_from, supernet_of

MIXTURE = "autokd.models.mixture:MixtureSupernet"
ROUTINGS = ("layer", "neuron")
_ROUTER_WIDTH = 128
_FEATURES = 4  # of an architecture's encoding


class Router(nn.Module):
    """From an architecture's encoding [4] to the mixture of each row of a matrix, or to one for all of its rows.

    The last layer starts at zero: every expert has the same share.
    """

    def __init__(self, n_rows: int, n_experts: int) -> None:
        super().__init__()
        self.first = Linear(_FEATURES, _ROUTER_WIDTH)
        self.last = Linear(_ROUTER_WIDTH, n_rows * n_experts)
        self._n_experts = n_experts

    def forward(self, encoding: Tensor, n_rows: int) -> Tensor:
        """The shares [n_rows, n_experts] of the leading ``n_rows`` rows, each row's adding up to 1.

        What the last layer gives lies row by row, one after the other: rows of a narrower matrix are the leading ones.
        """
        inner, n_outputs = torch.relu(self.first(encoding)), n_rows * self._n_experts
        scores = nn.functional.linear(inner, self.last.weight[:n_outputs], self.last.bias[:n_outputs])
        return torch.softmax(scores.view(n_rows, self._n_experts), dim=-1)


class MixedFfn(nn.Module):
    """What one layer has beside the encoder's own matrices: further experts, and the routers that mix them all.

    ``routing``: ``neuron``, each row of either matrix has a mixture of its own, or ``layer``, one serves them all.
    """

    def __init__(self, hidden: int, ffn: int, n_experts: int, routing: str) -> None:
        super().__init__()
        neuron = routing == "neuron"
        self.up = nn.ModuleList(Linear(hidden, ffn) for _ in range(n_experts - 1))
        self.down = nn.ModuleList(Linear(ffn, hidden) for _ in range(n_experts - 1))
        self.up_router = Router(ffn if neuron else 1, n_experts)
        self.down_router = Router(hidden, n_experts) if neuron else None

    def shares(self, encoding: Tensor, ffn: int, hidden: int) -> tuple[Tensor, Tensor]:
        """The mixtures of ``up``'s rows [ffn or 1, experts] and of ``down``'s [hidden or 1, experts]."""
        if self.down_router is None:
            found = self.up_router(encoding, 1)
            return found, found
        return self.up_router(encoding, ffn), self.down_router(encoding, hidden)


class MixtureSupernet(Supernet):
    """A supernet with ``n_experts`` of each feed-forward matrix; the encoder's own is the first.

    All else (attention, embeddings, norms) is shared as in any supernet.
    """

    def __init__(self, shape: EncoderShape, subspace: Subspace, n_experts: int, routing: str) -> None:
        super().__init__(shape, subspace)
        self.mixed = nn.ModuleList(MixedFfn(shape.hidden, layer.ffn, n_experts, routing) for layer in shape.layers)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MixtureSupernet:
        """As ``Supernet.from_config``, with ``experts`` and ``routing``."""
        shape, subspace = EncoderShape.from_json(config["shape"]), Subspace.from_json(config["subspace"])
        return cls(shape, subspace, int(config["experts"]), str(config["routing"]))

    def encoding(self, architecture: Architecture) -> Tensor:
        """An architecture as routers see it, [4]: hidden, heads, neurons and layers, as shares of the largest."""
        most = self.subspace.largest
        pairs = (
            (architecture.hidden, most.hidden),
            (architecture.heads, most.heads),
            (architecture.ffn, most.ffn),
            (architecture.layers, most.layers),
        )
        like = self.encoder.classifier.weight
        return torch.tensor([own / largest for own, largest in pairs], dtype=like.dtype, device=like.device)

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        found, encoding = super().weights(architecture), self.encoding(architecture)
        ffn, hidden = architecture.ffn, architecture.hidden
        for place, i in enumerate(architecture.depths(self.shape.depth)):
            layer = cast(MixedFfn, self.mixed[i])
            up, down = layer.shares(encoding, ffn, hidden)
            for name, experts, shares, rows, columns in (
                (f"layers.{place}.ffn.up", layer.up, up, ffn, hidden),
                (f"layers.{place}.ffn.down", layer.down, down, hidden, ffn),
            ):
                others = [cast(nn.Linear, expert) for expert in experts]
                matrices = [expert.weight[:rows, :columns] for expert in others]
                biases = [expert.bias[:rows] for expert in others]
                found[f"{name}.weight"] = mixed([found[f"{name}.weight"], *matrices], shares)
                found[f"{name}.bias"] = mixed([found[f"{name}.bias"], *biases], shares)
        return found


def mixed(experts: Sequence[Tensor], shares: Tensor) -> Tensor:
    """``W[k] = sum_j shares[k, j] W_j[k]``; experts: [rows, columns] or [rows] each, shares: [rows or 1, experts]."""
    parts = [shares[:, j].view(-1, *(1,) * (expert.dim() - 1)) * expert for j, expert in enumerate(experts)]
    return reduce(torch.add, parts)


def mixture_from(
    teacher: Slot, shape: EncoderShape, subspace: Subspace, n_experts: int, routing: str, spread: float, seed: int
) -> Slot:
    """A mixture supernet whose sub-networks start as those of ``supernet_from``: the leading parts of the teacher.

    Experts differ from the teacher's matrices by noise of ``spread`` times their standard deviation, which adds up to
    nothing over the experts; equal ones would leave routers without a gradient. Raises SpecError for an unknown
    routing.
    """
    if routing not in ROUTINGS:
        raise SpecError(f"a routing is one of {', '.join(ROUTINGS)}, but got {routing!r}.")
    plain = supernet_from(teacher, shape, subspace)
    supernet = MixtureSupernet.from_config(config := {**plain.config, "experts": n_experts, "routing": routing})
    supernet.encoder.load_state_dict(supernet_of(plain).encoder.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for own, layer in zip(supernet.encoder.layers, supernet.mixed, strict=True):
            for part in ("up", "down"):
                _spread([getattr(own.ffn, part), *getattr(layer, part)], spread, generator)
        for router in (each for each in supernet.mixed.modules() if isinstance(each, Router)):
            router.first.weight.copy_(torch.randn(router.first.weight.shape, generator=generator) / _FEATURES**0.5)
    return make_slot(supernet, config, builder=MIXTURE, tokenizer=teacher.tokenizer)


def _spread(experts: Sequence[nn.Linear], spread: float, generator: torch.Generator) -> None:
    """From the first expert's weights, which all share, to distinct ones with the same mean."""
    start = experts[0].weight.clone()
    noise = torch.randn((len(experts), *start.shape), generator=generator) * (spread * start.std())
    for expert, own in zip(experts, noise - noise.mean(0), strict=True):
        expert.weight.copy_(start + own)
        expert.bias.copy_(experts[0].bias)
