"""Budgets are read in the units people plan with."""

import pytest

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("8gpu-h", "gpu", 8 * 3600),
        ("30gpu-min", "gpu", 1800),
        ("20cpu-min", "cpu", 1200),
        ("1.5cpu-h", "cpu", 5400),
        ("15min", "wall", 900),
        ("2h", "wall", 7200),
        ("200trials", "trials", 200),
    ],
)
def test_amounts_are_seconds_or_trials(text: str, unit: str, amount: float) -> None:
    assert Budget.parse(text).limit(unit) == amount  # type: ignore[arg-type]


def test_several_limits_hold_at_once() -> None:
    budget = Budget.parse("8gpu-h, 200trials")
    assert (budget.limit("gpu"), budget.limit("trials"), budget.limit("wall")) == (28800, 200, None)
    assert budget.device == "gpu"
    assert Budget.from_json(budget.to_json()) == budget


@pytest.mark.parametrize("text", ["", "8", "gpu-h", "8 gpus", "-3min", "1e3min", "8gpu-h;2h", "2.5trials", "0cpu-min"])
def test_anything_else_is_refused_with_its_own_text(text: str) -> None:
    with pytest.raises(BudgetError, match=r"budget|trials") as error:
        Budget.parse(text)
    assert error.value.exit_code == 2


def test_a_unit_is_named_once() -> None:
    with pytest.raises(BudgetError, match="twice"):
        Budget.parse("8gpu-h,2gpu-h")
