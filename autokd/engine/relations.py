"""Relations between the tokens of a text, by which networks of any width are compared (MiniLMv2, arXiv:2012.15828).

Queries of all heads are laid side by side and dealt out anew to relation heads of equal width, and so are keys and
values; a relation head's scaled products of every two tokens are what student and teacher have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from autokd.core.errors import SpecError

_FAR_AWAY = -1.0e9  # the score of padding: finite, so that nothing times its share of 0 is 0


def relations(states: Tensor, heads: int) -> Tensor:
    """``X X^T / sqrt(d)`` of each relation head, in float32 at least.

    states: [batch, attention heads, length, width] -> [batch, heads, length, length] with ``d`` the whole part of
    ``attention heads * width / heads``; channels left over are not looked at. Raises SpecError where ``d`` is 0.
    """
    batch, _, length, _ = states.shape
    joined = states.transpose(1, 2).reshape(batch, length, -1)
    width = joined.shape[-1] // heads
    if width == 0:
        raise SpecError(f"each relation head has a channel, but {heads} were asked of {joined.shape[-1]} channels.")
    split = joined[..., : heads * width].reshape(batch, length, heads, width).transpose(1, 2)
    with torch.autocast(states.device.type, enabled=False):
        exact = split if split.dtype == torch.float64 else split.float()
        scores: Tensor = torch.matmul(exact, exact.transpose(-1, -2)) * width**-0.5
    return scores


def mse_logits(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of relations over the real tokens of each text.

    student, teacher: [batch, heads, length, length]; mask: [batch, length], 1 real, 0 padding -> [batch].
    """
    pairs = (mask.unsqueeze(1) * mask.unsqueeze(2)).unsqueeze(1)
    total = ((student - teacher) * pairs).square().sum((1, 2, 3))
    return total / (student.shape[1] * _lengths(mask).square())


def mse_softmax(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """As ``mse_logits``, of relations that a softmax over the text's real tokens made shares."""
    return mse_logits(_log_shares(student, mask).exp(), _log_shares(teacher, mask).exp(), mask)


def kl_softmax(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over relation heads and real tokens of each text of KL(teacher || student) of these shares; shapes as in
    ``mse_logits`` (arXiv:2012.15828, equation 5)."""
    log_student, log_teacher = _log_shares(student, mask), _log_shares(teacher, mask)
    rows = functional.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return (rows * mask.unsqueeze(1)).sum((1, 2)) / (student.shape[1] * _lengths(mask))


def _log_shares(scores: Tensor, mask: Tensor) -> Tensor:
    return functional.log_softmax(scores.masked_fill(mask[:, None, None, :] == 0, _FAR_AWAY), dim=-1)


def _lengths(mask: Tensor) -> Tensor:
    return mask.sum(1).clamp(min=1)


FORMS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"mse_logits": mse_logits, "mse_softmax": mse_softmax, "kl_softmax": kl_softmax}
)
