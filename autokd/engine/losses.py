"""Loss functions as plain functions of tensors. Papers share them; each states its own scale.

All of them compute in float32 whatever comes in, and return a scalar that is a mean over what it sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0, tau_squared: bool = True) -> Tensor:
    """Mean over rows of KL(teacher || student) of softened class distributions (arXiv 1503.02531, section 2).

    student, teacher: logits [batch, classes]. ``tau_squared`` multiplies by temperature squared, which keeps the
    gradient's size independent of the temperature.
    """
    log_student = functional.log_softmax(student.float() / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher.float() / temperature, dim=-1)
    loss = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return loss * temperature**2 if tau_squared else loss


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0, tau_squared: bool = True) -> Tensor:
    """Mean over rows of -sum p_teacher log p_student at a temperature (arXiv 1503.02531, section 2).

    Differs from the KL form by the teacher's entropy, a constant: equal gradients, different values.
    """
    log_student = functional.log_softmax(student.float() / temperature, dim=-1)
    target = functional.softmax(teacher.float() / temperature, dim=-1)
    loss = -(target * log_student).sum(dim=-1).mean()
    return loss * temperature**2 if tau_squared else loss


def target_cross_entropy(logits: Tensor, targets: Tensor, labelled: Tensor | None = None) -> Tensor:
    """Mean over rows of -sum target log p; ``targets`` [batch, classes] are probabilities (one-hot, or mixed).

    ``labelled``: bool [batch], the rows that count (None: all of them); where none does the loss is 0.
    """
    rows = -(targets.float() * functional.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
    return rows.mean() if labelled is None else _mean_over(rows, labelled)


def target_squared_error(values: Tensor, targets: Tensor, labelled: Tensor) -> Tensor:
    """Mean squared difference of values and targets, both [batch, 1], over the rows that ``labelled`` [batch] marks."""
    return _mean_over((values.float() - targets.float()).square().squeeze(1), labelled)


def _mean_over(rows: Tensor, counted: Tensor) -> Tensor:
    return (rows * counted).sum() / counted.sum().clamp(min=1)


def mean_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all entries of the squared difference; both of one shape."""
    return functional.mse_loss(student.float(), teacher.float())


def masked_mean_squared_error(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over real tokens: student, teacher [batch, length, width]; mask [batch, length].

    Padding counts neither in the sum nor in the mean, whatever values stand there (even ones that are not finite).
    """
    return _MaskedSquaredError.apply(student, teacher, mask)  # type: ignore[no-any-return, no-untyped-call]


class _MaskedSquaredError(torch.autograd.Function):
    """One pass forward and one back, instead of the six that autograd would make of mask, difference and mean."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise ValueError(
                f"hidden states must have one shape, but got {list(student.shape)} and {list(teacher.shape)}."
            )
        difference = student.detach().float() - teacher.detach()
        padding = (mask == 0).reshape(-1).nonzero().squeeze(1)
        flat = difference.reshape(-1, difference.shape[-1])
        flat.index_fill_(0, padding, 0.0)
        n = (flat.shape[0] - padding.shape[0]) * flat.shape[1]
        ctx.save_for_backward(flat)
        ctx.scale, ctx.shape, ctx.dtypes = 2.0 / n, student.shape, (student.dtype, teacher.dtype)
        norm: Tensor = torch.linalg.vector_norm(flat)
        return norm.square() / n

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (difference,) = ctx.saved_tensors
        found = (difference * (gradient * ctx.scale)).view(ctx.shape)
        student = found.to(ctx.dtypes[0]) if ctx.needs_input_grad[0] else None
        teacher = -found.to(ctx.dtypes[1]) if ctx.needs_input_grad[1] else None
        return student, teacher, None
