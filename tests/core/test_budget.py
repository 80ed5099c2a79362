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


def test_one_kind_of_device_is_limited() -> None:
    with pytest.raises(BudgetError, match="limits both"):
        Budget.parse("8gpu-h, 20cpu-min")


@pytest.mark.parametrize(
    ("new", "old", "more"),
    [
        ("16gpu-h", "8gpu-h", True),
        ("60min", "1h", False),
        ("4gpu-h", "8gpu-h", False),
        ("8gpu-h", "8gpu-h,200trials", True),
        ("8gpu-h,200trials", "8gpu-h", False),
        ("40cpu-min", "15min", True),
    ],
)
def test_a_budget_exceeds_another_where_a_limit_is_larger_or_gone(new: str, old: str, more: bool) -> None:
    assert Budget.parse(new).exceeds(Budget.parse(old)) is more


def test_a_unit_is_named_once() -> None:
    with pytest.raises(BudgetError, match="twice"):
        Budget.parse("8gpu-h,2gpu-h")
