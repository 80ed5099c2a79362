"""The recipe's loss for the baselines, in plain torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from plan import TEMPERATURE, matched_states
from torch import Tensor
from torch.nn import functional


def logits_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``T^2 KL(teacher || student)`` at temperature T, mean over rows; logits are [batch, classes]."""
    log_p = functional.log_softmax(student.float() / TEMPERATURE, dim=-1)
    q = functional.softmax(teacher.float() / TEMPERATURE, dim=-1)
    return functional.kl_div(log_p, q, reduction="batchmean") * TEMPERATURE**2


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over real tokens and features; states are [batch, length, width]."""
    wanted = mask.unsqueeze(-1).to(torch.float32)
    squared = (student.float() - teacher.float()).square() * wanted
    return squared.sum() / (wanted.sum() * student.shape[-1])


def distillation_loss(student: Mapping[str, Any], teacher: Mapping[str, Any], mask: Tensor) -> Tensor:
    """Logits KL plus the mean of the matched states' hidden MSE, from two Hugging Face outputs."""
    made, taught = student["hidden_states"], teacher["hidden_states"]
    pairs = matched_states(len(made) - 1)
    apart = [hidden_mse(made[i], taught[j], mask) for i, j in pairs]
    return logits_kl(student["logits"], teacher["logits"]) + torch.stack(apart).mean()
