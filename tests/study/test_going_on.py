"""What ``resume`` asks of a study before it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autokd.core.errors import BudgetError, UsageError
from autokd.study import machine
from autokd.study import study as studies
from autokd.study.memory import Memory
from autokd.study.plan import Plan

Toy = Callable[..., Any]


@pytest.fixture(autouse=True)
def _not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has two cores and no GPU, and the studies are not run."""
    monkeypatch.setattr(studies, "run", lambda store, on_event: None)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "gpus", lambda: 0)


def test_a_finished_study_goes_on_with_a_larger_budget_only(toy: Toy) -> None:
    made = toy("4cpu-min,200trials")
    Memory(made.store).keep_result({"front": []})
    with pytest.raises(UsageError, match=r"'4cpu-min,200trials', but got '4cpu-min,100trials'"):
        studies.resume("toy", storage=made.storage, budget="4cpu-min,100trials")
    for same in (None, "4cpu-min,200trials", "200trials, 4.0cpu-min"):
        assert studies.resume("toy", storage=made.storage, budget=same).finished
    studies.resume("toy", storage=made.storage, budget="8cpu-min,200trials")
    assert not Memory(made.store).finished
    assert Memory(made.store).result == {"front": []}
    assert made.store.settings.budget == "8cpu-min,200trials"


@pytest.mark.parametrize(("budget", "searches"), [("8cpu-min", True), ("4cpu-min", False), (None, False)])
def test_a_larger_budget_takes_a_confirming_study_back_to_its_search(
    toy: Toy, budget: str | None, searches: bool
) -> None:
    made = toy("4cpu-min")
    Memory(made.store).keep_plan(Plan((0,), 1))
    studies.resume("toy", storage=made.storage, budget=budget)
    assert (Memory(made.store).plan is None) is searches


def test_a_study_keeps_its_kind_of_device(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy("10min", device="gpu", gpus_per_trial=1.0)
    with pytest.raises(BudgetError, match=r"runs on the gpu, but .* on the cpu here"):
        studies.resume("toy", storage=made.storage)
    monkeypatch.setattr(machine, "gpus", lambda: 1)
    studies.resume("toy", storage=made.storage)


def test_the_pool_asks_no_cluster(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: str) -> None:
        raise AssertionError(f"the cluster at {address} was asked")

    monkeypatch.setattr("autokd.study.ray_tune.cluster_devices", connect)
    made = toy("10min", runner="ray", address="somewhere:6379")
    studies.resume("toy", storage=made.storage, runner="pool")
    assert made.store.settings.runner == "pool"
    with pytest.raises(UsageError, match="Ray cluster"):
        studies.resume("toy", storage=made.storage, address="here:6379")
