"""The learning rate over the steps of a loop."""

from __future__ import annotations


def learning_rate_factor(step: int, n_steps: int, warmup_share: float) -> float:
    """What the peak rate is multiplied with at ``step`` (1-based): a linear rise to 1, then a linear fall.

    The rise takes ``round(warmup_share * n_steps)`` steps. No step is wasted: the factor is above 0 at all of them.
    """
    warmup = min(round(warmup_share * n_steps), n_steps - 1)
    if step <= warmup:
        return step / warmup
    return (n_steps - step + 1) / (n_steps - warmup)
