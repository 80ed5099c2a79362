"""Magnitude pruning: the schedule's reference values, exact counts, growing back, a frozen end, and resuming."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from autokd.contracts import Sizes, TrainPlan
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.methods.basics import Distil, MagnitudePruning
from autokd.methods.basics.pruning import cubic, encoder_weights
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, run_stages
from autokd.testing.tiny import tiny_task

PLAN = TrainPlan(n_steps=20, steps_per_epoch=10, batch_size=8, seeds=Seeds(1))


@pytest.mark.parametrize(
    ("step", "kept"),
    [(0, 1), (100, 1), (101, 0.99551), (250, 0.47969), (400, 0.2125), (700, 0.1), (701, 0.1), (1000, 0.1)],
)
def test_reference_schedule(step: int, kept: float) -> None:
    assert 1 - cubic(step, 100, 700, 0.9) == pytest.approx(kept, abs=1e-5)
    assert 1 - MagnitudePruning(sparsity=0.9).share(step, 1000) == pytest.approx(kept, abs=1e-5)


def test_schedule_never_falls() -> None:
    shares = [cubic(step, 13.7, 61.2, 0.8) for step in range(100)]
    assert shares == sorted(shares)
    assert (shares[13], shares[62]) == (0.0, 0.8)
    assert cubic(5, 5, 5, 0.3) == 0.3


def zeros(weights) -> int:
    return sum(int((weight == 0).sum()) for weight in weights)


def test_only_encoder_matrices_are_pruned_and_counts_are_exact() -> None:
    model = build(tiny_slot())
    weights = encoder_weights(model)
    n = sum(weight.numel() for weight in weights)
    assert n == 2 * (4 * 16 * 16 + 2 * 16 * 32)
    run = MagnitudePruning(sparsity=0.37, begin=0.0, end=0.5, every=1).build(model, PLAN)
    linear = re.compile(r"layers\..*(query|key|value|output|up|down)\.weight")
    untouched = {name: value.clone() for name, value in model.state_dict().items() if not linear.fullmatch(name)}
    run.after_step(10)
    assert zeros(weights) == round(0.37 * n)
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    assert float(sizes[sizes > 0].min()) > 0
    assert all(torch.equal(model.state_dict()[name], value) for name, value in untouched.items())
    cost = MagnitudePruning(every=4).cost(Sizes(1, 1.0, shape_of(tiny_slot()), shape_of(tiny_slot())))
    assert cost == n / 4


def test_counts_are_exact_with_ties() -> None:
    model = build(tiny_slot())
    weights = encoder_weights(model)
    with torch.no_grad():
        for weight in weights:
            weight.fill_(0.5)
    run = MagnitudePruning(sparsity=0.9, begin=0.0, end=0.0, every=1).build(model, PLAN)
    run.after_step(1)
    assert zeros(weights) == round(0.9 * sum(weight.numel() for weight in weights))


def test_weights_grow_back_until_the_end_and_not_after() -> None:
    model = build(tiny_slot())
    weights = encoder_weights(model)
    run = MagnitudePruning(sparsity=0.5, begin=0.0, end=0.5, every=2).build(model, PLAN)

    def revive() -> None:
        with torch.no_grad():
            for weight in weights:
                weight[weight == 0] = 7.0

    run.after_step(1)
    assert zeros(weights) == 0
    run.after_step(2)
    early = zeros(weights)
    assert early > 0
    revive()
    run.after_step(3)
    assert zeros(weights) == 0
    run.after_step(4)
    assert zeros(weights) > early
    run.after_step(10)
    final = [weight == 0 for weight in weights]
    revive()
    run.after_step(11)
    assert all(torch.equal(weight == 0, mask) for weight, mask in zip(weights, final, strict=True))


def test_state_holds_the_final_mask() -> None:
    model, other = build(tiny_slot(1)), build(tiny_slot(2))
    method = MagnitudePruning(sparsity=0.5, begin=0.0, end=0.5, every=2)
    one, two = method.build(model, PLAN), method.build(other, PLAN)
    two.load_state_dict(one.state_dict())  # before the end there is nothing to keep
    one.after_step(10)
    two.load_state_dict(one.state_dict())
    two.after_step(11)
    for a, b in zip(encoder_weights(model), encoder_weights(other), strict=True):
        assert torch.equal(a == 0, b == 0)


def test_a_distilled_student_has_the_sparsity(tmp_path: Path) -> None:
    models = run_stages(STUDENT, tiny_task(), tmp_path)
    stage = Distil(hooks=(MagnitudePruning(sparsity=0.6, begin=0.0, end=0.5, every=2),), epochs=2, batch_size=8)
    made = stage.run(models, tiny_context(tmp_path, tiny_task(), "basics:Distil"))
    weights = encoder_weights(build(made["student"]))
    assert zeros(weights) == round(0.6 * sum(weight.numel() for weight in weights))


@pytest.mark.parametrize("fields", [{"sparsity": 1.1}, {"begin": -0.1}, {"end": 0.05}, {"every": 0}])
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"MagnitudePruning.{next(iter(fields))} must be"):
        MagnitudePruning(**fields)
