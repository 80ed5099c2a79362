from __future__ import annotations

import math

import pytest

from autokd.core.budget import Budget
from autokd.study.ledger import Ledger, Spent, binding, purse, spent_from_json
from autokd.study.simulate import VirtualClock


def test_jobs_are_charged_devices_times_seconds() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Spent(100.0, 50.0, 3))
    ledger.open("a", 2.0)
    clock.now = 10.0
    ledger.open("b", 0.5)
    clock.now = 20.0
    assert ledger.spent == Spent(100.0 + 40.0 + 5.0, 70.0, 3)
    assert ledger.close("a") == 40.0
    clock.now = 30.0
    assert ledger.cost("b") == 10.0
    assert ledger.spent.device_seconds == 150.0


def test_a_journal_holds_what_is_in_flight() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Spent())
    ledger.open("a", 1.0)
    ledger.count_trial()
    clock.now = 9.0
    assert spent_from_json(ledger.to_json()) == Spent(9.0, 9.0, 1)
    assert spent_from_json(None) == Spent()


def test_wall_time_counts_every_device_used_or_not() -> None:
    found = purse(Budget.parse("15min"), Spent(100.0, 300.0, 4), committed=50.0, capacity=2.0)
    assert (found.limit, found.spent, found.committed) == (1800.0, 600.0, 50.0)
    assert found.trials_left == math.inf


def test_of_several_limits_the_tightest_counts() -> None:
    budget = Budget.parse("40cpu-min, 15min, 20trials")
    assert purse(budget, Spent(2000.0, 60.0, 1), 0.0, capacity=2.0).limit == 2400.0
    assert purse(budget, Spent(2000.0, 880.0, 1), 0.0, capacity=2.0).limit == 1800.0
    assert purse(budget, Spent(2000.0, 880.0, 1), 0.0, capacity=2.0).trials_left == 19


@pytest.mark.parametrize(
    ("text", "spent", "shown"),
    [
        ("40cpu-min", Spent(1200.0), (40.0, 20.0, "cpu-min")),
        ("8gpu-h", Spent(3600.0), (8.0, 1.0, "gpu-h")),
        ("1.5 h", Spent(wall_seconds=1800.0), (1.5, 0.5, "h")),
        ("200trials", Spent(trials=20), (200.0, 20.0, "trials")),
        ("8gpu-h,30min", Spent(3600.0, 900.0), (30.0, 15.0, "min")),
    ],
)
def test_a_budget_is_shown_as_it_was_written(text: str, spent: Spent, shown: tuple[float, float, str]) -> None:
    assert binding(Budget.parse(text), spent.of) == pytest.approx(shown)
