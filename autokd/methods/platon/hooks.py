"""The two hooks: weights set to zero, and heads and neurons cut out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from autokd.contracts import Facts, Sizes, TrainPlan
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.methods.basics import checks
from autokd.methods.basics.pruning import n_encoder_weights
from autokd.methods.platon.run import PruningRun
from autokd.methods.platon.schedule import Schedule
from autokd.methods.platon.scores import Magnitudes, Scores, Sensitivities
from autokd.methods.platon.subjects import Subject, Units, Weights, prunable
from autokd.models.elastic import without_units
from autokd.models.encoder import Encoder

SCORES = ("platon", "sensitivity", "magnitude")
RANKINGS = ("global", "local")

# What scoring and masking one weight takes per step, in multiply-accumulates of a matrix product: reading and writing
# memory takes longer than computing (6 % of the steps of 3 layers of MiniLM on 32 sentences, measured on a CPU core).
_MACS_PER_WEIGHT = 60.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Pruning:
    """What both hooks share: their fields, their checks, their schedule."""

    kind: ClassVar[str] = "hook"
    source: ClassVar[str] = "2206.12562"
    version: ClassVar[int] = 1

    keep: float = 0.2
    score: str = "platon"
    beta1: float = 0.85
    beta2: float = 0.95
    every: int = 10
    initial: float = 0.06
    final: float = 0.3
    ranking: str = "global"
    frozen: bool = False

    def __post_init__(self) -> None:
        checks.number(self, "keep", 0, 1)
        checks.one_of(self, "score", SCORES)
        checks.number(self, "beta1", 0, 0.9999)
        checks.number(self, "beta2", 0, 0.9999)
        checks.whole(self, "every", 1)
        checks.number(self, "initial", 0)
        checks.number(self, "final", 0)
        checks.one_of(self, "ranking", RANKINGS)
        checks.boolean(self, "frozen")
        if self.score == "platon" and self.beta1 == 0:
            rule = "above 0 for score 'platon', or no weight is uncertain (score 'sensitivity' does without)"
            raise checks.refusal(self, "beta1", rule, self.beta1)
        if self.initial < 1 and self.final < 1 and self.initial + self.final > 1 + _ROUNDING:
            raise checks.refusal(self, "final", f"at most {1 - self.initial:g}, what 'initial' leaves", self.final)

    def schedule(self, n_steps: int) -> Schedule:
        """When a loop of this many steps prunes. Raises SpecError where it is shorter than the phases around it."""
        first, after = _steps(self.initial, n_steps), _steps(self.final, n_steps)
        if first + after > n_steps + _ROUNDING:
            raise SpecError(
                f"{type(self).__name__}.initial and .final must fit into the loop's {n_steps} steps, "
                f"but together take {first + after:g}."
            )
        last = n_steps - after
        every = max(1, min(self.every, int(last)))  # one window at least is complete before the final phase
        return Schedule(n_steps, first, last, every, 1 - self.keep)

    def check_steps(self, n_steps: int) -> None:
        """Raises SpecError where the phases before and after pruning do not fit."""
        self.schedule(n_steps)

    def cost(self, sizes: Sizes) -> float:
        """Scores and masks of all encoder matrices."""
        return 0.0 if sizes.student is None else _MACS_PER_WEIGHT * n_encoder_weights(sizes.student)

    def _run(self, subject: Subject, plan: TrainPlan) -> PruningRun:
        schedule = self.schedule(plan.n_steps)
        return PruningRun(subject, self._scores(subject, schedule.every), schedule, self.frozen)

    def _scores(self, subject: Subject, window: int) -> Scores:
        if self.score == "magnitude":
            return Magnitudes(subject.parameters)
        beta2 = self.beta2 if self.score == "platon" else None
        return Sensitivities(subject.parameters, window, self.beta1, beta2)

    @property
    def _is_local(self) -> bool:
        return self.ranking == "local"


@dataclass(frozen=True)
class Platon(_Pruning):
    """Sets the encoder weights to zero whose importance is low beyond doubt, more and more of them.

    What: every attention and feed-forward weight (of all experts, where there are some) is scored at each step by how
        much the loss would change without it, averaged over batches, times how uncertain that still is. The lowest
        are set to zero in place, after the optimizer; until the end they may grow back and score anew. In the first
        phase nothing is pruned; in the cubic one, masks are made at every ``every``-th step, and what is evaluated in
        between sees weights that grew back; in the final one, after every step, the last included, so that a student
        ends with exactly ``round((1 - keep) * n)`` zeros. Zeros alone make no network smaller or faster.
    Equation: ``I_t = |theta_{t+1} g_t|``, averaged over a window of ``every`` steps;
        ``M_t = beta1 M_{t-1} + (1 - beta1) I_t``, ``U_t = |I_t - M_t|``, ``V_t = beta2 V_{t-1} + (1 - beta2) U_t``,
        score ``M_t V_t``, both averages from 0.
        Kept share ``r(t) = keep + (1 - keep) (1 - (t - t_i) / (T - t_i - t_f))^3`` between ``t_i`` and ``T - t_f``.
    Symbols: keep: the final ratio ``r_T``, 1 minus sparsity; score: ``platon`` as above, ``sensitivity`` for ``M_t``
        alone, ``magnitude`` for ``|theta|``; beta1, beta2: of the averages; every: deltaT, steps of a window and
        between masks; initial: ``t_i``; final: ``t_f``, both shares of the steps below 1, and numbers of steps from 1
        on; ranking: ``global`` over all weights together or ``local`` in each matrix; frozen: keep the final phase's
        first mask instead of ranking anew; biases: whether biases of the same layers are pruned and counted too.
    Source: PLATON, arXiv:2206.12562, schedule and order as in its released code: gradients are clipped, and what is
        multiplied with them is what the optimizer has made of the weights. Biases are the released code's choice;
        the tuned beta2 lies from 0.65 to 0.95.
    Differences: exact counts with ties (a strict threshold prunes one too few and, of equal scores, none). A window
        ends with the step that masks (released: the step before, and the first window counts a 0). In the final phase
        the scores change with each window only; so does the mask, which is kept between them. Short loops have
        shorter windows. State beside the model: 12 bytes per weight (``sensitivity`` 8, ``magnitude`` none), in the
        final phase 1 more. The optimizer's own state is left alone.
    """

    facts: ClassVar[Facts] = Facts(needs=frozenset({"student"}))

    biases: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.boolean(self, "biases")

    @property
    def sparsity(self) -> float:
        return 1 - self.keep

    def build(self, model: nn.Module, plan: TrainPlan) -> PruningRun:
        return self._run(Weights(prunable(model, self.biases), self._is_local), plan)


@dataclass(frozen=True)
class StructuredPlaton(_Pruning):
    """Cuts out the attention heads and neurons whose weights together score lowest: a smaller, faster student.

    What: scores and schedule as in Platon, but what is ranked are heads among heads and neurons among neurons. While
        the student trains, a masked unit's columns in the output matrix are set to zero, the same as a network without
        it; its other weights stay, so that it can come back. At the end the units are cut out, and the student has the
        outputs that it had with masks. A block that loses all its units keeps its output bias.
    Equation: score of a unit: the sum of ``M_t V_t`` over its weights: rows of query, key and value and columns of
        output for a head; its row of up and column of down for a neuron. ``round((1 - r(t)) n)`` of n are masked.
    Symbols: keep: share of heads, and of neurons, at the end; score: ``platon``, ``sensitivity`` or ``magnitude`` (then
        the sum of ``|theta|``); beta1, beta2: of the averages; every: steps of a window and between masks; initial,
        final: phases without masks and with the final share, shares of the steps below 1, and numbers of steps from 1
        on; ranking: ``global`` over all layers or ``local`` in each; frozen: keep the final phase's first mask.
    Source: PLATON, arXiv:2206.12562, whose code has no structured form; summed scores as in HomoDistil
        (2302.09632).
    Differences: those of Platon; units' biases go with them and are not scored. Layers whose feed-forward seam holds
        experts are refused.
    """

    facts: ClassVar[Facts] = Facts(needs=frozenset({"student"}), forbids=frozenset({"hash_routed", "gated"}))

    keep: float = 0.5

    def build(self, model: nn.Module, plan: TrainPlan) -> PruningRun:
        """Raises SpecError for a network that has no heads and neurons to cut."""
        if not isinstance(model, Encoder):
            raise SpecError(f"only encoders have heads and neurons to cut, but got {type(model).__name__}.")
        return self._run(Units(model, self._is_local), plan)

    def sizes_after(self, sizes: Sizes) -> Sizes:
        """Without the units; which layers a global ranking takes them from is not known beforehand."""
        if sizes.student is None:
            return sizes
        share = 1 - self.keep
        cut = _without_each(sizes.student, share) if self._is_local else without_units(sizes.student, share)
        return replace(sizes, student=cut)


def _without_each(shape: EncoderShape, share: float) -> EncoderShape:
    """The shape after ``round(share * n)`` of each layer's own n heads, and of its neurons, are cut."""
    layers = tuple(
        replace(layer, heads=layer.heads - round(share * layer.heads), ffn=layer.ffn - round(share * layer.ffn))
        for layer in shape.layers
    )
    return shape.with_layers(layers)


def _steps(given: float, n_steps: int) -> float:
    """A length in steps, from a share (below 1) or a number of steps."""
    return given * n_steps if given < 1 else given
