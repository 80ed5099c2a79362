from __future__ import annotations

import pytest

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError
from autokd.study import machine
from autokd.study.seats import find_seats


def test_a_gpu_budget_without_a_gpu_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    with pytest.raises(BudgetError, match="such as 8cpu-h"):
        find_seats(Budget.parse("8gpu-h"))


def test_there_are_as_many_workers_as_cores_and_never_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    monkeypatch.setattr(machine, "cores", lambda: 3)
    assert find_seats(Budget.parse("9cpu-min")).workers == 3
    assert find_seats(Budget.parse("9cpu-min"), workers=2).workers == 2
    crowded = find_seats(Budget.parse("9cpu-min"), workers=8)
    assert crowded.workers == 3
    assert "8 workers" in crowded.notes[0]


def test_gpus_are_shared_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: 2)
    seats = find_seats(Budget.parse("8gpu-h"), gpus_per_trial=0.5)
    assert (seats.device, seats.workers, seats.gpus_per_trial) == ("gpu", 4, 0.5)
    assert find_seats(Budget.parse("15min")).device == "gpu"
    assert find_seats(Budget.parse("9cpu-min")).device == "cpu"
