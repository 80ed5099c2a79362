"""A loss that keeps a gate from sending everything to one expert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from autokd.contracts import Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes, Wants
from autokd.core.errors import SpecError
from autokd.methods.basics import checks
from autokd.models.elastic import shape_of


@dataclass(frozen=True)
class LoadBalance:
    """Gates are to send about as many tokens (or rows) to each expert.

    What: of every layer the product of what share of the batch an expert gets and what probability its gate gives it,
        summed over experts: 1 per layer where all are even, N where one expert gets everything with certainty. Its
        gradient lowers the gate's probability of experts that get much.
    Equation: ``sum over layers of N sum_i P_i f_i``: ``P_i`` the mean probability of expert i over the batch's real
        tokens (sentence gate: rows), ``f_i`` the share of them that goes to it, which has no gradient.
    Symbols: weight: of this term in the loss.
    Source: MoEBERT, arXiv:2204.07675, as in its released code (default weight there 0); the form is that of Switch
        Transformers (arXiv:2101.03961), whose weight, 0.01, is the default here.
    Differences: padding is no token (the released code counts it).
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "2204.07675"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"student", "gated"}))

    weight: float = 0.01

    def __post_init__(self) -> None:
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        """Raises SpecError where the student has no gates."""
        if not any(layer.gate for layer in shape_of(models["student"]).layers):
            raise SpecError("LoadBalance is for students whose experts a gate chooses, but this one has no gates.")
        return LoadBalanceTerm(self.weight)

    def cost(self, sizes: Sizes) -> float:
        return 0.0


class LoadBalanceTerm(LossTerm):
    """The sum over layers of ``load_balance``."""

    teacher_wants = None
    student_wants = Wants(gates=True)

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        real = student.mask.bool()
        return torch.stack([load_balance(g[real] if g.dim() == 3 else g) for g in student.gates]).sum()


def load_balance(shares: Tensor) -> Tensor:
    """``N sum_i P_i f_i`` of gate probabilities [n, N], each entry at its likeliest expert: 1 where even, N at most."""
    n_experts, shares = shares.shape[1], shares.float()
    gone = functional.one_hot(shares.argmax(dim=1), n_experts).float()
    return n_experts * (shares.mean(0) * gone.mean(0)).sum()
