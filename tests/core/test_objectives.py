"""Objectives and constraints by the names that users write."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autokd.core.errors import UsageError
from autokd.core.objectives import Constraint, excesses, objective_values, pareto


@pytest.mark.parametrize(
    ("text", "values", "excess"),
    [
        ("params<=15e6", {"params": 16e6}, 1e6),
        ("params <= 15e6", {"params": 15e6}, 0.0),
        ("score>=0.8", {"valid_score": 0.75}, 0.05),
        ("macs<=1.5", {"params": 3.0}, None),
        ("macs<=1.5", {"macs": math.nan}, None),
        ("size_bytes<=4e6", {"size_bytes": 1e6}, -3e6),
    ],
)
def test_excess(text: str, values: dict[str, float], excess: float | None) -> None:
    found = Constraint.parse(text).excess(values)
    assert found == (None if excess is None else pytest.approx(excess))


def test_excesses_name_what_is_known() -> None:
    assert excesses(["params <= 2", "macs<=1"], {"params": 3.0}) == {"params<=2": 1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("params<15e6", "has the form"), ("params<=big", "has the form"), ("parms<=1", "Did you mean 'params'")],
)
def test_refused_constraints(text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        Constraint.parse(text)


def test_objective_values_are_in_order_and_finite() -> None:
    values = {"valid_score": 0.5, "macs": 2.0, "params": math.inf}
    assert objective_values(("macs", "score"), values) == [2.0, 0.5]
    assert objective_values(("score", "params"), values) is None
    assert objective_values(("score", "macs"), {"macs": 1.0}) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_pareto_is_what_the_definition_says(rows: list[tuple[int, int, int]]) -> None:
    def dominates(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
        a, b = (-one[0], one[1], one[2]), (-other[0], other[1], other[2])
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    expected = [i for i, row in enumerate(rows) if not any(dominates(other, row) for other in rows)]
    assert pareto(rows, ("score", "params", "macs")) == expected
