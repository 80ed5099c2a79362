"""How much each weight matters, followed while a network trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Scores(Protocol):
    """One score per entry of some parameters, in tensors of their shapes; higher ones are kept."""

    def observe(self, step: int) -> bool:
        """Take in step ``step`` (1-based) while its gradients are alive; whether ``values`` has changed."""

    def values(self) -> list[Tensor]:
        """The scores as they stand. Not to be written to."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Magnitudes:
    """``|theta|``, without any state."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)

    def observe(self, step: int) -> bool:
        return True

    def values(self) -> list[Tensor]:
        return [parameter.detach().abs() for parameter in self._parameters]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Sensitivities:
    """The smoothed sensitivity; with ``beta2`` its product with the smoothed uncertainty, else alone.

    float32: with bfloat16's 8 bits so many products would tie at the threshold that places decided between them.
    """

    def __init__(self, parameters: Sequence[Tensor], window: int, beta1: float, beta2: float | None = None) -> None:
        self._parameters, self._window, self._beta1, self._beta2 = list(parameters), window, beta1, beta2
        self._sums, self._means = _zeros(parameters), _zeros(parameters)
        self._spreads = _zeros(parameters) if beta2 is not None else []

    @torch.no_grad()
    def observe(self, step: int) -> bool:
        """Sums up the step's sensitivities; every ``window`` steps their mean enters the averages."""
        for parameter, total in zip(self._parameters, self._sums, strict=True):
            if parameter.grad is not None:  # one that the loss does not depend on has a sensitivity of 0
                total.add_((parameter * parameter.grad).abs_())
        if step % self._window:
            return False
        for i, total in enumerate(self._sums):
            value = total.div_(self._window)
            smooth(self._means[i], value, self._beta1)
            if self._beta2 is not None:
                smooth(self._spreads[i], value.sub_(self._means[i]).abs_(), self._beta2)
            total.zero_()
        return True

    def values(self) -> list[Tensor]:
        if self._beta2 is None:
            return self._means
        return [mean * spread for mean, spread in zip(self._means, self._spreads, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "means": self._means, "spreads": self._spreads}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        for name, tensors in own.items():
            for tensor, told in zip(tensors, state[name], strict=True):
                tensor.copy_(told)


def smooth(average: Tensor, value: Tensor, beta: float) -> None:
    """``average <- beta * average + (1 - beta) * value``, in place."""
    average.mul_(beta).add_(value, alpha=1 - beta)


def _zeros(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(parameter, dtype=torch.float32) for parameter in parameters]
