"""Supernets whose sub-networks share mixtures of weights instead of weights (arXiv:2306.04845)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from autokd.contracts import Context, Slot
from autokd.core.shape import EncoderShape
from autokd.methods.basics import checks
from autokd.methods.basics.supernets import SupernetTraining
from autokd.models.mixture import ROUTINGS, mixture_from
from autokd.models.subspaces import Subspace

__all__ = ["TrainSupernet"]


@dataclass(frozen=True)
class TrainSupernet(SupernetTraining):
    """Trains a supernet that holds several experts of each feed-forward matrix, mixed for each sub-network anew.

    What: as autodistil:TrainSupernet, but a sub-network's feed-forward matrices are weighted means of the experts'
        leading parts. The weights come from a small router in each layer, which reads the sub-network's architecture
        and never a text; so a sub-network costs what it costs anyhow, and what is taken out is an ordinary network
        without experts or routers. Attention, embeddings and norms are shared as ever. autodistil:SearchSubnet and
        autodistil:ExtractSubnet take students out of it.
    Equation: ``W_a[k] = sum_j P[k, j] W_j[k, :i]`` and as much for biases, with ``P = softmax(router(z_a))`` row by
        row; layer: one row ``P`` for both matrices of a layer; ``z_a`` = hidden, heads, neurons and layers as shares
        of the largest; router: linear, ReLU, linear over 128.
    Symbols: experts: m, 1 is plain sharing; routing: ``neuron``, every row its own mixture, or ``layer``; spread: how
        far experts are apart at the start, in standard deviations of the teacher's matrix; space, corpus, loss,
        n_random, optimizer, epochs, batch_size, warmup_share, clip_norm, dropout: as in autodistil:TrainSupernet.
    Source: Mixture-of-Supernets, arXiv:2306.04845, routing and scope (the two feed-forward matrices) as in its
        released code for BERT, which has two experts.
    Differences: taught by relations, as AutoDistil's supernets are, so that the two compare (there: masked language
        modelling). Experts start apart, and their mean is the teacher's matrix: equal copies, the released code's
        default, leave routers without a gradient at the start. Heads keep their width where the hidden states get
        narrower. The sandwich is largest, smallest and two others (there: one).
    """

    source: ClassVar[str] = "2306.04845"

    experts: int = 2
    routing: str = "neuron"
    spread: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole(self, "experts", 1)
        checks.one_of(self, "routing", ROUTINGS)
        checks.number(self, "spread", 0)

    def start(self, teacher: Slot, shape: EncoderShape, found: Subspace, ctx: Context) -> Slot:
        seed = ctx.seeds.integer("init:experts")
        return mixture_from(teacher, shape, found, self.experts, self.routing, self.spread, seed)

    def merging_macs(self, shape: EncoderShape) -> float:
        """A product of each expert's weights with their share; routers are small beside it."""
        return self.experts * sum(2.0 * shape.hidden * layer.ffn for layer in shape.layers)
