"""The learning rate's rise and fall."""

from __future__ import annotations

import pytest

from autokd.engine.schedule import learning_rate_factor


def test_a_linear_rise_and_a_linear_fall() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(1, 11)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


@pytest.mark.parametrize(("n_steps", "share"), [(1, 0.0), (1, 0.9), (2, 0.9), (7, 0.1), (1000, 0.06)])
def test_no_step_is_wasted_and_the_peak_is_reached(n_steps: int, share: float) -> None:
    factors = [learning_rate_factor(step, n_steps, share) for step in range(1, n_steps + 1)]
    assert min(factors) > 0
    assert max(factors) == 1.0
