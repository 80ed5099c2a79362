"""Optimizers that every pipeline may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from autokd.contracts import ANY_DATA, Facts, ParameterGroup
from autokd.methods.basics import checks


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay, in torch's fused kernel.

    What: each parameter moves by ``lr`` times the bias-corrected first moment over the root of the second; the decay
        is applied to the parameter itself. The loop warms the rate up and lets it fall linearly.
    Equation: ``p -= lr * (m_hat / (sqrt(v_hat) + epsilon) + weight_decay * p)``
    Symbols: lr: peak rate; weight_decay: for matrices only (not for biases, norms and embeddings, whose groups say
        so); beta1, beta2: decay rates of the moments; epsilon: added to the root.
    Source: common practice (Loshchilov and Hutter, 1711.05101).
    Differences: none; torch.optim.AdamW itself.
    """

    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = "1711.05101"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(data=ANY_DATA)

    lr: float = 5e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        checks.above(self, "lr", 0)
        checks.number(self, "weight_decay", 0)
        checks.number(self, "beta1", 0, 0.99999)
        checks.number(self, "beta2", 0, 0.99999)
        checks.above(self, "epsilon", 0)

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        options = [
            {"params": list(group.parameters), "weight_decay": self.weight_decay if group.decay else 0.0}
            for group in groups
        ]
        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(options, lr=self.lr, betas=betas, eps=self.epsilon, fused=True)
