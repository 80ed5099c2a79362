"""Adam whose second moment looks away from the present gradient (AdaShift, arXiv:1810.00143)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autokd.contracts import Facts, ParameterGroup
from autokd.methods.basics import checks

__all__ = ["AdaShift"]

PHIS = ("max", "mean", "none")


@dataclass(frozen=True)
class AdaShift:
    """An adaptive optimizer whose step size does not depend on the gradient that it is applied to.

    What: Adam divides a gradient by a second moment that contains it, so that rare large gradients get small steps
        and may lose against many small ones. Here the second moment is made of gradients that are ``keep`` steps
        old, and the first moment of the ``keep`` gradients since. With ``phi`` max or mean one number scales a whole
        tensor. The first ``keep`` steps gather gradients and move nothing, not even by decay: of the loop's warm-up
        (a tenth of the steps by default) they are the first part, and a loop of no more than ``keep`` steps trains
        nothing at all.
    Equation: ``m_t = sum_{i<n} beta1^i g_{t-i} / sum_{i<n} beta1^i``,
        ``v_t = beta2 v_{t-1} + (1 - beta2) phi(g_{t-n}^2)``, ``v_hat_t = v_t / (1 - beta2^c)`` with c the number of
        updates since v was first above 0, ``p -= lr * (m_t / (sqrt(v_hat_t) + epsilon) + weight_decay * p)``; an
        entry whose v is still 0 does not move.
    Symbols: lr: peak rate, with phi max about ten times Adam's; keep: n; beta1: weights of the window, 1 for its
        plain mean; beta2: decay rate of v; phi: ``max`` or ``mean`` over a tensor's squared gradients, or ``none``,
        which keeps them apart; epsilon: added to the root; weight_decay: decoupled, for matrices only (as in AdamW).
    Source: AdaShift, arXiv:1810.00143, as in its official code (order of square and phi, correction from the first
        v above 0).
    Differences: weight decay, of which the paper has none. The first moment is summed over the window at every step,
        not carried along, so that rounding does not add up.
    Memory: n copies of the parameters (the last gradients, in one ring per parameter), and two more with phi none;
        AdamW has 2. For BERT-base in float32 with n = 10: 4.4 GB. Each step reads all of them.
    """

    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = "1810.00143"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    lr: float = 1e-3
    keep: int = 10
    beta1: float = 0.9
    beta2: float = 0.999
    phi: str = "max"
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        checks.above(self, "lr", 0)
        checks.whole(self, "keep", 1)
        checks.number(self, "beta1", 0, 1)
        checks.number(self, "beta2", 0, 0.99999)
        checks.one_of(self, "phi", PHIS)
        checks.number(self, "epsilon", 0)
        checks.number(self, "weight_decay", 0)

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        options = [
            {"params": list(group.parameters), "weight_decay": self.weight_decay if group.decay else 0.0}
            for group in groups
        ]
        return ShiftedAdam(options, self)


class ShiftedAdam(torch.optim.Optimizer):
    """AdaShift at work. A parameter's state: ``step``, ``window`` [keep, *shape], ``second`` and ``correction``.

    ``window[i]`` holds the gradient of the last step with ``step % keep == i``, zeros where there was none;
    ``correction`` is ``1 - beta2^c``. Steps are counted per parameter: one without a gradient stands still.
    """

    def __init__(self, parameters: Any, method: AdaShift) -> None:
        super().__init__(parameters, {"lr": method.lr, "weight_decay": method.weight_decay})
        self._method = method

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Raises ValueError for a sparse gradient (the training loop makes them dense)."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for members in self._alike(group["params"]):
                self._advance(members, float(group["lr"]), float(group["weight_decay"]))
        return loss

    def _alike(self, parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
        """The parameters that have gradients, those at the same step together."""
        found: dict[int, list[nn.Parameter]] = {}
        for parameter in parameters:
            if parameter.grad is None or parameter.numel() == 0:
                continue
            if parameter.grad.is_sparse:
                raise ValueError("AdaShift keeps whole gradients, but got a sparse one; make it dense first.")
            if not self.state[parameter]:
                self.state[parameter] = self._start(parameter)
            found.setdefault(self.state[parameter]["step"], []).append(parameter)
        yield from found.values()

    def _start(self, parameter: nn.Parameter) -> dict[str, Any]:
        second = torch.zeros_like(parameter) if self._method.phi == "none" else parameter.new_zeros(())
        window = parameter.new_zeros(self._method.keep, *parameter.shape)
        return {"step": 0, "window": window, "second": second, "correction": torch.zeros_like(second)}

    def _advance(self, members: list[nn.Parameter], lr: float, decay: float) -> None:
        """One step of parameters that have made equally many."""
        states = [self.state[parameter] for parameter in members]
        n, done = self._method.keep, states[0]["step"]
        leaving = [state["window"][done % n] for state in states]
        rates = self._rates(leaving, states) if done >= n else []
        torch._foreach_copy_(leaving, [parameter.grad for parameter in members if parameter.grad is not None])
        for state in states:
            state["step"] = done + 1
        if not rates:
            return
        if decay > 0:
            torch._foreach_mul_([*members], 1 - lr * decay)
        weights = members[0].new_tensor(window_weights(n, self._method.beta1, done % n))
        for parameter, state, rate in zip(members, states, rates, strict=True):
            mean = torch.mv(state["window"].view(n, -1).t(), weights).view(parameter.shape)
            parameter.addcmul_(mean, rate, value=-lr)

    def _rates(self, leaving: list[Tensor], states: list[dict[str, Any]]) -> list[Tensor]:
        """``1 / (sqrt(v_hat) + epsilon)`` after the gradients that leave the windows; 0 where v is 0."""
        beta2 = self._method.beta2
        second, correction = [s["second"] for s in states], [s["correction"] for s in states]
        torch._foreach_mul_(second, beta2)
        torch._foreach_add_(second, squares(leaving, self._method.phi), alpha=1 - beta2)
        started = torch._foreach_sign(second)
        torch._foreach_mul_(correction, beta2)
        torch._foreach_add_(correction, started, alpha=1 - beta2)
        # Nothing is divided by 0: where v is 0 the numerator is 0 too, and the floors stand below any other value.
        floor = torch.finfo(second[0].dtype).tiny
        roots = torch._foreach_div(second, torch._foreach_clamp_min(correction, floor))
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self._method.epsilon)
        torch._foreach_clamp_min_(roots, floor)
        return list(torch._foreach_div(started, roots))


def squares(gradients: list[Tensor], phi: str) -> list[Tensor]:
    """``phi(g^2)`` of each tensor: one number, or with phi none all of them."""
    if phi == "none":
        return list(torch._foreach_mul(gradients, gradients))
    norms = torch._foreach_norm(gradients, float("inf") if phi == "max" else 2)
    found = list(torch._foreach_mul(norms, norms))
    if phi == "mean":
        torch._foreach_div_(found, [float(gradient.numel()) for gradient in gradients])
    return found


def window_weights(n: int, beta1: float, newest: int) -> list[float]:
    """The weight of each place of a ring of n gradients, of which the newest lies at ``newest``; they add up to 1."""
    ages = [(newest - place) % n for place in range(n)]
    total = sum(beta1**age for age in range(n))
    return [beta1**age / total for age in ages]
