"""The stage that makes a student of experts out of a dense network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import Context, Cost, Facts, Models, Sizes, Slot
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import LayerShape
from autokd.methods.basics import checks
from autokd.methods.moebert.deal import deal, expert_weights
from autokd.methods.moebert.importance import neuron_importance
from autokd.methods.moebert.routes import balanced_route, random_route
from autokd.models.elastic import encoder_of, shape_of
from autokd.models.linear import draw_normal

_MAX_EXPERTS = 256  # routes are stored as bytes
_SOURCES = ("dense_teacher", "student")


@dataclass(frozen=True)
class Routing:
    """What fills the feed-forward seam, what its gate reads (see ``LayerShape``), and the fact that it makes true."""

    use: str
    gate: str
    fact: str


ROUTINGS: Mapping[str, Routing] = MappingProxyType(
    {
        "hash": Routing("moebert:HashExperts", "", "hash_routed"),
        "balanced_hash": Routing("moebert:HashExperts", "", "hash_routed"),
        "gate_token": Routing("moebert:TokenGatedExperts", "token", "gated"),
        "gate_sentence": Routing("moebert:SentenceGatedExperts", "row", "gated"),
    }
)
_FACTS = frozenset(routing.fact for routing in ROUTINGS.values())


@dataclass(frozen=True)
class ToExperts:
    """Makes a student whose feed-forward layers are several narrow experts, of which each token passes one.

    What: neurons are ranked by importance on the training rows; every expert gets the most important ones, and the
        others are dealt out in turns. Attention, embeddings and head are copied; all layers are converted.
    Equation: importance of neuron j ``I_j = sum over samples of |<w1_j, dL/dw1_j> + <w2_j, dL/dw2_j>|`` with the
        task's loss L; expert e holds ranks ``0..s-1`` and ``s+e, s+e+N, s+e+2N ...``, d_e in all;
        output ``LN_e(x + W2_e gelu(W1_e x + b1_e) + b2)``, of gates times the probability ``softmax(x W_g)_e``.
    Symbols: experts: N; width: ``d_e / d_h``, an expert's width as a share of the dense one; common: ``s / d_e``, the
        share of an expert that is the same in all; routing: ``hash`` (each token id's expert is drawn once per layer),
        ``balanced_hash`` (so that experts see about as many tokens of the training rows), ``gate_token`` (the
        likeliest expert by a linear map of the token's state), ``gate_sentence`` (by one of the mean over the row's
        real tokens); of: the network to convert; batch_size: of the importance pass (without influence on its result
        but for rounding). The paper's 4 experts of 768 with 512 shared of 3072 are the defaults; its training loss is
        Labels plus LayerTransfer, for gates plus LoadBalance.
    Source: MoEBERT, arXiv:2204.07675, sections 3.1 to 3.3; hash routing as in its default.
    Differences: importance from training rows (the released recipe reads the validation labels); the per-sample
        values come from gradients of activations in batches, not from one backward pass per sample; routes are part
        of the saved weights; balanced routes differ by layer where frequencies leave a choice (released: one list for
        all); the sentence gate's factor is there in a batch of one row as well (released: left out); the dealt-out
        rest need not divide evenly. Such students store more than they use: reports show both counts. With a hash
        [CLS] has one expert in each layer, so in the last layer only one has a part in the logits. With gates the
        factor, about 1 / N at first, takes the student further from its teacher than a hash does.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2204.07675"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False

    experts: int = 4
    width: float = 0.25
    common: float = 2 / 3
    routing: str = "hash"
    of: str = "dense_teacher"
    batch_size: int = 16

    def __post_init__(self) -> None:
        checks.whole(self, "experts", 1, _MAX_EXPERTS)
        checks.number(self, "width", 0, 1)
        checks.number(self, "common", 0, 1)
        checks.one_of(self, "routing", tuple(ROUTINGS))
        checks.one_of(self, "of", _SOURCES)
        checks.whole(self, "batch_size", 1)
        owned, left = (1 - self.common) * self.width * self.experts, 1 - self.common * self.width
        if owned > left + 1e-9:
            raise SpecError(
                f"ToExperts deals out each neuron once, but {self.experts} experts of width {self.width:g} with "
                f"{self.common:g} in common need {owned:.3g} of the dense width where {left:.3g} is left; "
                f"width up to 1 / experts is always possible."
            )

    @property
    def facts(self) -> Facts:
        fact = ROUTINGS[self.routing].fact
        gives, drops = frozenset({"student", "student_init", fact}), (_FACTS - {fact}) | {"trained_student"}
        if self.of == "student":
            return Facts(needs=frozenset({"student"}), forbids=_FACTS, gives=gives, drops=drops)
        return Facts(needs=frozenset({self.of, "encoder_teacher"}), gives=gives, drops=drops | {"student_tokenizer"})

    def run(self, models: Models, ctx: Context) -> Models:
        """Raises SpecError where the network's feed-forward layers are not dense."""
        source = models[self.of]
        importance = neuron_importance(source, ctx, self.batch_size)
        student = self._convert(source, importance, self._routes(source, ctx))
        return models.with_slots(student=student, student_init=student)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """One forward pass over the training rows and one backward pass to the activations."""
        source = sizes.student if self.of == "student" else (sizes.dense_teacher or sizes.teacher)
        if source is None:
            return Cost(0.0, known=False), sizes
        student = source.with_layers(tuple(self._layer(layer) for layer in source.layers))
        return Cost(2 * sizes.rows * source.macs(sizes.length)), replace(sizes, student=student, student_init=student)

    def _widths(self, dense: int) -> tuple[int, int]:
        """How many neurons an expert has, and how many of them all experts have, for a dense width."""
        width = int(dense * self.width + 1e-9)
        common = round(width * self.common)
        return min(width, common + (dense - common) // self.experts), common

    def _layer(self, layer: LayerShape) -> LayerShape:
        width, _ = self._widths(layer.ffn)
        routing = ROUTINGS[self.routing]
        return replace(layer, ffn=width, ffn_copies=self.experts, ffn_use=routing.use, gate=routing.gate)

    def _routes(self, source: Slot, ctx: Context) -> Callable[[int], dict[str, Tensor]]:
        """What routes the tokens of a layer, by the layer's number: its name in the seam, and its values."""
        shape = shape_of(source)
        if self.routing == "balanced_hash":
            counts = np.bincount(ctx.rows("train", source).ids.numpy(), minlength=shape.vocabulary)
            return lambda i: {"route": balanced_route(counts, self.experts, ctx.seeds.numpy(f"init:hash:{i}"))}
        if self.routing == "hash":
            return lambda i: {"route": random_route(shape.vocabulary, self.experts, ctx.seeds.numpy(f"init:hash:{i}"))}
        return lambda i: {"gate.weight": _fresh_gate(self.experts, shape.hidden, ctx.seeds, i)}

    def _convert(self, source: Slot, importance: Sequence[Tensor], routes: Callable[[int], dict[str, Tensor]]) -> Slot:
        shape = shape_of(source)
        weights = {name: value for name, value in source.weights.items() if ".ffn." not in name}
        for i, layer in enumerate(shape.layers):
            ranking = torch.argsort(importance[i].cpu(), descending=True, stable=True)
            width, common = self._widths(layer.ffn)
            dense = f"layers.{i}.ffn."
            for e, neurons in enumerate(deal(ranking, self.experts, width, common)):
                part = expert_weights(source.weights, dense, neurons)
                weights.update({f"{dense}experts.{e}.{name}": value for name, value in part.items()})
            weights.update({f"{dense}{name}": value for name, value in routes(i).items()})
        layers = tuple(self._layer(layer) for layer in shape.layers)
        return encoder_of(shape.with_layers(layers), weights, source.tokenizer)


def _fresh_gate(n_experts: int, hidden: int, seeds: Seeds, layer: int) -> Tensor:
    """A gate's start, [experts, hidden]: a normal of standard deviation 0.02."""
    weight = torch.empty(n_experts, hidden)
    draw_normal(weight, torch.Generator().manual_seed(seeds.integer(f"init:gate:{layer}")))
    return weight
