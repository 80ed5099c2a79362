"""When a loop prunes, and how much."""

from __future__ import annotations

from dataclasses import dataclass

from autokd.methods.basics.pruning import cubic


@dataclass(frozen=True)
class Schedule:
    """PLATON's cubic schedule over ``n_steps`` steps.

    Nothing is pruned up to ``first``. Up to ``last`` the removed share rises to ``removed``, and masks are made at
    every ``every``-th step. From then on they are made at every step; the very last step is always one of these.
    """

    n_steps: int
    first: float
    last: float
    every: int
    removed: float

    def share(self, step: int) -> float:
        """The share that is removed after step ``step`` (1-based); 1 minus the paper's ``r(t)`` with ``r(0) = 1``."""
        return cubic(step, self.first, self.last, self.removed)

    def is_final(self, step: int) -> bool:
        return step > self.last or step >= self.n_steps

    def masks(self, step: int) -> bool:
        """Whether a mask is made after this step."""
        return self.is_final(step) or (step > self.first and step % self.every == 0)
