"""Feed-forward networks split into hash-routed experts (MoEBERT, arXiv:2204.07675)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autokd.contracts import Batch, Context, Cost, Facts, Models, Network, Sizes, Slot
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape, LayerShape
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.scan import scan
from autokd.models.elastic import encoder_of, require_dense, shape_of
from autokd.models.ffn import DenseFfn, FfnInput
from autokd.models.slots import build

__all__ = ["HashExperts", "ToExperts"]

_MAX_EXPERTS = 256  # routes are stored as bytes
_SOURCES = ("dense_teacher", "student")


@dataclass(frozen=True)
class ToExperts:
    """Makes a student whose feed-forward layers are several narrow experts, of which each token passes one.

    What: neurons are ranked by importance on the training rows; every expert gets the most important ones, and the
        others are dealt out in turns. Which expert a token visits depends on its id and the layer alone, drawn once.
        Attention, embeddings and head are copied. All layers are converted.
    Equation: importance of neuron j ``I_j = sum over samples of |<w1_j, dL/dw1_j> + <w2_j, dL/dw2_j>|`` with the
        task's loss L; expert e holds ranks ``0..s-1`` and ``s+e, s+e+N, s+e+2N ...``, d_e in all;
        output ``LN_e(x + W2_e gelu(W1_e x + b1_e) + b2)``.
    Symbols: experts: N; width: ``d_e / d_h``, an expert's width as a share of the dense one; common: ``s / d_e``, the
        share of an expert that is the same in all; of: the network to convert; batch_size: of the importance pass
        (without influence on its result but for rounding). The paper's 4 experts of 768 with 512 shared of 3072 are
        the defaults; its training loss is Labels plus Logits (symmetric_kl, temperature 1) and HiddenMSE.
    Source: MoEBERT, arXiv:2204.07675, sections 3.1 to 3.3; hash routing as in its default.
    Differences: importance from training rows (the released recipe reads the validation labels); the per-sample
        values come from gradients of activations in batches, not from one backward pass per sample; routes are part
        of the saved weights; the dealt-out rest need not divide evenly. Such students store more than they use:
        reports show both counts. [CLS] has one id, so in the last layer only one expert has a part in the logits.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2204.07675"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False

    experts: int = 4
    width: float = 0.25
    common: float = 2 / 3
    of: str = "dense_teacher"
    batch_size: int = 16

    def __post_init__(self) -> None:
        checks.whole(self, "experts", 1, _MAX_EXPERTS)
        checks.number(self, "width", 0, 1)
        checks.number(self, "common", 0, 1)
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
        gives, drops = frozenset({"student", "student_init", "hash_routed"}), frozenset({"trained_student"})
        if self.of == "student":
            return Facts(needs=frozenset({"student"}), gives=gives, drops=drops)
        return Facts(needs=frozenset({self.of, "encoder_teacher"}), gives=gives, drops=drops | {"student_tokenizer"})

    def run(self, models: Models, ctx: Context) -> Models:
        source = models[self.of]
        importance = neuron_importance(source, ctx, self.batch_size)
        student = self._convert(source, importance, ctx.seeds)
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
        use = "moebert:HashExperts"
        return replace(layer, ffn=width, ffn_copies=self.experts, ffn_use=use, ffn_args={"experts": self.experts})

    def _convert(self, source: Slot, importance: Sequence[Tensor], seeds: Seeds) -> Slot:
        shape = shape_of(source)
        weights = {name: value for name, value in source.weights.items() if ".ffn." not in name}
        for i, layer in enumerate(shape.layers):
            ranking = torch.argsort(importance[i].cpu(), descending=True, stable=True)
            width, common = self._widths(layer.ffn)
            dense, made = f"layers.{i}.ffn.", f"layers.{i}.ffn.experts."
            for e, neurons in enumerate(deal(ranking, self.experts, width, common)):
                part = _rows_of(source.weights, dense, neurons)
                weights.update({f"{made}{e}.{name}": value for name, value in part.items()})
            drawn = seeds.numpy(f"init:hash:{i}").integers(0, self.experts, shape.vocabulary)
            weights[f"{dense}route"] = torch.from_numpy(drawn).to(torch.uint8)
        layers = tuple(self._layer(layer) for layer in shape.layers)
        return encoder_of(shape.with_layers(layers), weights, source.tokenizer)


def deal(ranking: Tensor, n_experts: int, width: int, common: int) -> list[Tensor]:
    """Neurons for each expert from a ranking, best first: the ``common`` best, then every ``n_experts``-th other."""
    rest = ranking[common:]
    return [torch.cat([ranking[:common], rest[e::n_experts]])[:width] for e in range(n_experts)]


def _rows_of(weights: Mapping[str, Tensor], dense: str, neurons: Tensor) -> dict[str, Tensor]:
    """The dense network's weights with only these neurons, in this order; output bias and norm whole."""
    whole = ("down.bias", "norm.weight", "norm.bias")
    return {
        "up.weight": weights[f"{dense}up.weight"][neurons],
        "up.bias": weights[f"{dense}up.bias"][neurons],
        "down.weight": weights[f"{dense}down.weight"][:, neurons].contiguous(),
        **{name: weights[dense + name].clone() for name in whole},
    }


def neuron_importance(source: Slot, ctx: Context, batch_size: int) -> list[Tensor]:
    """Importance of every neuron, per layer [ffn], summed over the training rows.

    ``<w2_j, dL/dw2_j>`` is the sum over tokens of activation times its gradient, ``<w1_j, dL/dw1_j>`` that of the
    pre-activation without its bias times its gradient; padding has gradients of exactly 0.
    """
    for i, layer in enumerate(shape_of(source).layers):
        require_dense(layer, i)
    model = build(source).to(ctx.device).requires_grad_(False)
    assert isinstance(model, Network)
    networks = [module for module in model.modules() if isinstance(module, DenseFfn)]

    def measure(batch: Batch) -> list[Tensor]:
        with Taps(networks) as taps, torch.enable_grad():
            loss = task_loss(model(batch).logits, batch) * len(batch)  # a sum: each sample's own gradient
            gradients = torch.autograd.grad(loss, [*taps.before, *taps.active])
        depth = len(networks)
        scores = []
        for i, network in enumerate(networks):
            first = (taps.before[i] - network.up.bias) * gradients[i]
            second = taps.active[i] * gradients[depth + i]
            scores.append((first + second).detach().sum(1).abs().sum(0))
        return scores

    return scan(measure, ctx.rows("train", source), batch_size, ctx)


class Taps:
    """Inside the ``with``, the networks' neurons before and after activation, [batch, length, ffn], with gradients."""

    def __init__(self, networks: Sequence[DenseFfn]) -> None:
        self.before: list[Tensor] = []
        self.active: list[Tensor] = []
        self._networks = networks
        self._handles: list[Any] = []

    def __enter__(self) -> Taps:
        for network in self._networks:
            self._handles.append(network.up.register_forward_hook(self._tap_up))
            self._handles.append(network.down.register_forward_pre_hook(self._tap_down))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _tap_up(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        found = output if output.requires_grad else output.requires_grad_()
        self.before.append(found)
        return found

    def _tap_down(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        self.active.append(inputs[0])


class HashExperts(nn.Module):
    """Several dense feed-forward networks, of which each token passes the one that its id is routed to.

    ``route``: uint8 [vocabulary], the expert of each token id; a buffer, so that it is saved with the weights.
    A neuron mask multiplies the same places in every expert.
    """

    route: Tensor

    def __init__(self, hidden: int, width: int, n_experts: int, shape: EncoderShape) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            DenseFfn(hidden, width, shape.activation, shape.norm_eps) for _ in range(n_experts)
        )
        self.register_buffer("route", torch.zeros(shape.vocabulary, dtype=torch.uint8))

    @classmethod
    def from_shape(cls, hidden: int, layer: LayerShape, shape: EncoderShape) -> HashExperts:
        return cls(hidden, layer.ffn, int(layer.ffn_args["experts"]), shape)

    def forward(self, hidden: Tensor, tokens: FfnInput) -> Tensor:
        """hidden: [batch, length, hidden] -> the same shape; position and neighbours play no part in the routing."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        ids, mask = tokens.ids.reshape(-1), tokens.mask.reshape(-1)
        chosen = self.route[ids]
        places, parts = [], []
        # One loop of nonzero and a single copy: unlike sorting and splitting it has an ONNX form.
        for e, expert in enumerate(self.experts):
            rows = torch.nonzero(chosen == e).flatten()
            places.append(rows)
            parts.append(expert(flat[rows], replace(tokens, ids=ids[rows], mask=mask[rows])))
        joined = torch.cat(parts)
        return torch.zeros_like(joined).index_copy(0, torch.cat(places), joined).view(hidden.shape)
