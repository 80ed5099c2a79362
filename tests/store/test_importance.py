"""The parameter that decides an objective is the important one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autokd.store import StudyStore, importances


def filled(store: StudyStore, n_trials: int) -> StudyStore:
    draw = np.random.default_rng(0)
    for _ in range(n_trials):
        params = {"student": "cut", "lr": float(draw.uniform(1e-5, 1e-3)), "layers": int(draw.integers(1, 5))}
        score = 1000 * params["lr"]  # type: ignore[operator]
        number = store.start({}, params)
        store.finish(number, values={"valid_score": score, "macs": float(params["layers"])})  # type: ignore[arg-type]
    return store


def test_what_decides_is_important(make: Callable[..., StudyStore]) -> None:
    store = filled(make(), 40)
    control = store.start({}, None, "control")
    store.finish(control, values={"valid_score": -5.0, "macs": 9.0})
    shares = importances(store)
    assert next(iter(shares["score"])) == "lr"
    assert next(iter(shares["macs"])) == "layers"
    for found in shares.values():
        assert "student" not in found, "it never varied"
        assert sum(found.values()) == pytest.approx(1.0)


def test_few_trials_say_nothing(make: Callable[..., StudyStore]) -> None:
    assert importances(filled(make(), 7)) == {}
