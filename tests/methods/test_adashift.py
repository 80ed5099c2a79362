"""AdaShift: its equations step by step, exact state, and the problems that Adam gets wrong."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autokd.contracts import ParameterGroup
from autokd.core.errors import Paused, SpecError
from autokd.engine.checkpoint import load_state, save_state
from autokd.engine.loop import LoopOptions, train
from autokd.methods.adashift import AdaShift, squares
from autokd.methods.basics import Distil, FineTuneTeacher, WordSwap
from autokd.methods.graph import TrainTeacher
from autokd.methods.ted import LearnFilters
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from autokd.testing.methods import kit_sizes
from tests.engine.parts import LabelTerm, context, pause_after, same, some_rows, weights


def optimizer_of(method: AdaShift, *parameters: nn.Parameter, decay: bool = True) -> torch.optim.Optimizer:
    return method.build([ParameterGroup(tuple(str(i) for i in range(len(parameters))), parameters, decay)])


def run(method: AdaShift, start: Tensor, gradients: Tensor) -> list[Tensor]:
    """The parameter after each step of these gradients [steps, *shape]."""
    parameter = nn.Parameter(start.clone())
    optimizer, seen = optimizer_of(method, parameter), []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        seen.append(parameter.detach().clone())
    return seen


def drawn(steps: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(steps, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(method: AdaShift, start: Tensor, gradients: Tensor) -> list[Tensor]:
    """The equations as printed, with the window as a list and the correction from its closed form."""
    window, p, v, count, seen = deque[Tensor](maxlen=method.keep), start.clone(), torch.zeros(()), 0, []
    phi = {"max": lambda s: s.max(), "mean": lambda s: s.mean(), "none": lambda s: s}[method.phi]
    v = torch.zeros_like(start) if method.phi == "none" else v.double()
    for gradient in gradients:
        old = window[0] if len(window) == method.keep else None
        window.append(gradient)
        if old is not None:
            count += 1
            v = method.beta2 * v + (1 - method.beta2) * phi(old.square())
            powers = [method.beta1**i for i in range(method.keep)]
            m = sum(w * g for w, g in zip(powers, reversed(window), strict=True)) / sum(powers)
            v_hat = v / (1 - method.beta2**count)
            p = p * (1 - method.lr * method.weight_decay) - method.lr * m / (v_hat.sqrt() + method.epsilon)
        seen.append(p.clone())
    return seen


@pytest.mark.parametrize("phi", ["max", "mean", "none"])
@pytest.mark.parametrize(("keep", "beta1"), [(1, 0.0), (1, 0.9), (4, 0.0), (4, 0.9), (4, 1.0), (10, 0.9)])
def test_every_step_is_the_equation(phi: str, keep: int, beta1: float) -> None:
    method = AdaShift(lr=0.01, keep=keep, beta1=beta1, beta2=0.9, phi=phi, weight_decay=0.1)
    start, gradients = drawn(1, 3, 4, seed=1)[0], drawn(200, 3, 4)
    for found, expected in zip(run(method, start, gradients), by_hand(method, start, gradients), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("phi", ["max", "mean", "none"])
def test_the_first_steps_move_nothing_and_the_next_divides_by_the_first_gradient(phi: str) -> None:
    method = AdaShift(lr=0.01, keep=3, beta1=0.5, phi=phi, weight_decay=0.5)
    start, gradients = drawn(1, 5)[0], drawn(4, 5, seed=2)
    seen = run(method, start, gradients)
    assert all(torch.equal(value, start) for value in seen[:3])
    mean = (gradients[3] + 0.5 * gradients[2] + 0.25 * gradients[1]) / 1.75
    first = squares([gradients[0]], phi)[0].sqrt()
    torch.testing.assert_close(seen[3], start * (1 - 0.01 * 0.5) - 0.01 * mean / (first + 1e-10))


@pytest.mark.parametrize("phi", ["max", "none"])
def test_a_gradient_reaches_the_second_moment_only_when_it_leaves_the_window(phi: str) -> None:
    gradients, other = drawn(12, 4), drawn(12, 4)
    other[4] *= 100
    states = []
    for told in (gradients, other):
        parameter = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        optimizer = optimizer_of(AdaShift(keep=3, phi=phi), parameter)
        states.append([])
        for gradient in told:
            parameter.grad = gradient.clone()
            optimizer.step()
            states[-1].append(optimizer.state[parameter]["second"].clone())
    same_until = [torch.equal(one, two) for one, two in zip(*states, strict=True)]
    assert same_until == [True] * 7 + [False] * 5  # the gradient of step 5 leaves a window of 3 at step 8


def test_one_number_scales_a_tensor_unless_phi_is_none() -> None:
    gradients = drawn(5, 6)
    for phi, parallel in (("max", True), ("mean", True), ("none", False)):
        seen = run(AdaShift(keep=4, beta1=0.0, phi=phi), torch.zeros(6, dtype=torch.float64), gradients)
        ratio = seen[4] / gradients[4]
        assert torch.allclose(ratio, ratio[0].expand(6)) == parallel
    assert [float(value) for value in squares([torch.tensor([1.0, -3.0])], "max")] == [9.0]
    assert [float(value) for value in squares([torch.tensor([1.0, -3.0])], "mean")] == pytest.approx([5.0])


def test_a_constant_gradient_moves_by_its_sign() -> None:
    gradient = torch.tensor([3.0, -0.001, 20.0], dtype=torch.float64)
    method = AdaShift(lr=0.01, keep=5, phi="none")
    seen = run(method, torch.zeros(3, dtype=torch.float64), gradient.expand(20, 3))
    for before, after in itertools.pairwise(seen[4:]):
        torch.testing.assert_close(after - before, -0.01 * gradient.sign())


@pytest.mark.parametrize("keep", [1, 2, 10])
@pytest.mark.parametrize("phi", ["max", "mean", "none"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-10])
def test_zeros_at_the_start_neither_explode_nor_become_nan(keep: int, phi: str, epsilon: float) -> None:
    gradients = torch.zeros(40, 3)
    gradients[15:] = drawn(25, 3).float()
    gradients[:, 2] = 0  # an entry that never has a gradient
    seen = torch.stack(run(AdaShift(lr=0.01, keep=keep, phi=phi, epsilon=epsilon), torch.ones(3), gradients))
    assert bool(torch.isfinite(seen).all())
    assert bool((seen[: 15 + keep] == 1).all())  # v is 0 until the first gradient left the window
    assert bool((seen[:, 2] == 1).all())
    assert float((seen[1:] - seen[:-1]).abs().max()) < 0.5
    assert not torch.equal(seen[-1][:2], torch.ones(2))


def test_the_correction_counts_from_the_first_gradient() -> None:
    late = torch.cat([torch.zeros(7, 2, dtype=torch.float64), drawn(20, 2)])
    method = AdaShift(lr=0.01, keep=3, beta1=0.0, phi="none")
    whole = run(method, torch.zeros(2, dtype=torch.float64), late)
    alone = run(method, torch.zeros(2, dtype=torch.float64), late[7:])
    torch.testing.assert_close(torch.stack(whole[7:]), torch.stack(alone))


def test_parameters_without_gradient_stand_still_and_keep_their_own_count() -> None:
    one, other, empty = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(0, 2))
    method = AdaShift(lr=0.01, keep=2)
    optimizer = optimizer_of(method, one, other, empty)
    gradients = drawn(6, 2).float()
    for i, gradient in enumerate(gradients):
        one.grad = gradient.clone()
        other.grad = gradient.clone() if i >= 2 else None
        empty.grad = torch.zeros(0, 2)
        optimizer.step()
    assert (optimizer.state[one]["step"], optimizer.state[other]["step"]) == (6, 4)
    assert torch.equal(other.detach(), run(method, torch.ones(2), gradients[2:])[-1])


def test_groups_have_their_own_decay_and_rate() -> None:
    matrix, bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = [ParameterGroup(("w",), (matrix,), True), ParameterGroup(("b",), (bias,), False)]
    optimizer = AdaShift(lr=0.1, keep=1, beta1=0.0, weight_decay=0.5).build(groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    optimizer.param_groups[1]["lr"] = 0.01
    for _ in range(2):
        matrix.grad, bias.grad = torch.ones(1), torch.ones(1)
        optimizer.step()
    assert matrix.item() == pytest.approx(1 * (1 - 0.1 * 0.5) - 0.1, abs=1e-6)
    assert bias.item() == pytest.approx(1 - 0.01, abs=1e-6)


@pytest.mark.parametrize("phi", ["max", "none"])
@pytest.mark.parametrize("at", [1, 5, 7])
def test_state_comes_back_exactly_in_the_middle_of_a_window(phi: str, at: int, tmp_path: Path) -> None:
    gradients, method = drawn(20, 3, 2).float(), AdaShift(lr=0.01, keep=5, phi=phi, weight_decay=0.1)
    whole = run(method, torch.ones(3, 2), gradients)
    parameter = nn.Parameter(torch.ones(3, 2))
    optimizer = optimizer_of(method, parameter)
    for i, gradient in enumerate(gradients):
        if i == at:
            save_state(tmp_path, optimizer.state_dict())
            parameter = nn.Parameter(parameter.detach().clone())
            optimizer = optimizer_of(method, parameter)
            optimizer.load_state_dict(load_state(tmp_path))
        parameter.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(parameter.detach(), whole[i])


def test_it_resumes_in_the_loop_on_a_cut_vocabulary(tmp_path: Path) -> None:
    rows, options = some_rows(), LoopOptions(epochs=4, batch_size=8, dropout=0.1)

    def trained(folder: Path, pause: int | None = None) -> dict[str, Tensor]:
        ctx = context(folder)
        if pause is not None:
            ctx = replace(ctx, should_pause=pause_after(pause))
        model = build(tiny_slot(seed=3))
        return weights(train(model, [LabelTerm()], AdaShift(lr=1e-2, keep=4), options, ctx, rows, score=lambda m: 0.0))

    whole = trained(tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(Paused):
            trained(tmp_path / "paused", pause=6)
    assert same(whole, trained(tmp_path / "paused"))
    start = weights(build(tiny_slot(seed=3)))
    moved = (whole["embeddings.word.weight"] != start["embeddings.word.weight"]).any(1)
    assert bool(moved[5:60].any())
    assert not bool(moved[60:].any())  # words that no row holds


def test_a_loop_no_longer_than_the_window_would_train_nothing_and_is_refused(tmp_path: Path) -> None:
    rows, options = some_rows(), LoopOptions(epochs=1, batch_size=8)
    n_steps = -(-len(rows) // 8)

    def trained(keep: int) -> nn.Module:
        place = context(tmp_path / str(keep))
        return train(build(tiny_slot(seed=3)), [LabelTerm()], AdaShift(keep=keep), options, place, rows)

    message = rf"^AdaShift\.keep must be below the loop's {n_steps} steps, or nothing is trained, but got {n_steps}\.$"
    with pytest.raises(SpecError, match=message):
        trained(n_steps)
    assert not same(weights(trained(n_steps - 1)), weights(build(tiny_slot(seed=3))))


@pytest.mark.parametrize(
    "stage",
    [
        FineTuneTeacher(optimizer=AdaShift(keep=13), epochs=1, batch_size=8),
        Distil(optimizer=AdaShift(keep=25), augmenters=(WordSwap(),), epochs=1, batch_size=8),
        LearnFilters(optimizer=AdaShift(keep=13), epochs=1, batch_size=8),
        TrainTeacher(optimizer=AdaShift(keep=13), epochs=1, batch_size=8),
    ],
    ids=lambda stage: type(stage).__name__,
)
def test_forecasts_refuse_what_the_loop_would(stage) -> None:
    """Of 100 rows, which Distil has twice."""
    keep = stage.optimizer.keep
    with pytest.raises(SpecError, match=rf"^AdaShift\.keep must be below the loop's {keep} steps"):
        stage.cost(kit_sizes())
    replace(stage, optimizer=AdaShift(keep=keep - 1)).cost(kit_sizes())


def test_it_keeps_n_gradients_and_little_else() -> None:
    parameter = nn.Parameter(torch.ones(50, 20))
    for phi, beta1, copies in (("max", 0.0, 7), ("mean", 0.9, 8), ("none", 0.0, 9), ("none", 1.0, 10)):
        optimizer = optimizer_of(AdaShift(keep=7, phi=phi, beta1=beta1), parameter)
        parameter.grad = torch.ones(50, 20)
        optimizer.step()
        held = sum(value.numel() for value in optimizer.state[parameter].values() if isinstance(value, Tensor))
        assert copies * 1000 <= held <= copies * 1000 + 2


def test_rounding_does_not_add_up_in_a_plain_mean() -> None:
    """After a gradient of 1e6, those of 1e-3 are as exact as their own size allows."""
    gradients = 1e-3 * drawn(40, 3).float()
    gradients[5] *= 1e9
    parameter = nn.Parameter(torch.zeros(3))
    optimizer = optimizer_of(AdaShift(keep=4, beta1=1.0), parameter)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    expected = gradients[-4:].double().mean(0)
    torch.testing.assert_close(optimizer.state[parameter]["first"].double(), expected, rtol=1e-5, atol=1e-9)


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(10, 2, sparse=True)
    optimizer = optimizer_of(AdaShift(), table.weight)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        optimizer.step()


@pytest.mark.parametrize(
    ("size", "delta", "beta2", "adam", "shifted"),
    [(31, 0.1, 0.95, 0.405, -0.080), (11, 0.2, 0.9, 0.261, -0.206)],
)
def test_the_papers_counterexample(size: int, delta: float, beta2: float, adam: float, shifted: float) -> None:
    """A gradient of ``size`` with probability ``(1 + delta) / (size + 1)``, else of -1: its mean is delta, so the
    parameter must fall. 4,000 of them at once; moments are settled before they move."""
    draw = np.random.Generator(np.random.PCG64(0))
    thetas = [nn.Parameter(torch.zeros(4000)) for _ in range(2)]
    shifted_adam = optimizer_of(AdaShift(keep=1, beta1=0.0, beta2=beta2, phi="none", epsilon=1e-8), thetas[1])
    optimizers = [torch.optim.Adam([thetas[0]], betas=(0.0, beta2), eps=1e-8), shifted_adam]
    for step in range(5000):
        rare = draw.random(4000, dtype=np.float32) < (1 + delta) / (size + 1)
        gradient = torch.from_numpy(np.where(rare, np.float32(size), np.float32(-1)))
        for theta, optimizer in zip(thetas, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 0.0 if step < 2000 else 1e-3
            theta.grad = gradient
            optimizer.step()
    ends = {name: theta.detach().mean().item() for name, theta in zip(("adam", "adashift"), thetas, strict=True)}
    assert ends["adam"] > 0.2
    assert ends["adashift"] < -0.05
    assert ends["adam"] == pytest.approx(adam, abs=0.01)
    assert ends["adashift"] == pytest.approx(shifted, abs=0.01)


def test_the_sequential_counterexample() -> None:
    """Reddi et al.: a slope of 1010 at every 101st step, of -10 at all others; the best point of [-1, 1] is -1."""
    ends = {}
    for name in ("adam", "adashift"):
        x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        shift = optimizer_of(AdaShift(keep=10, beta1=0.9, beta2=0.99, epsilon=0.0), x)
        optimizer = shift if name == "adashift" else torch.optim.Adam([x], betas=(0.9, 0.99), eps=1e-30)
        for step in range(1, 50_001):
            optimizer.param_groups[0]["lr"] = step**-0.5
            x.grad = torch.full((1,), 1010.0 if step % 101 == 1 else -10.0, dtype=torch.float64)
            optimizer.step()
            x.data.clamp_(-1, 1)
        ends[name] = float(x.detach())
    assert ends["adam"] == pytest.approx(0.989, abs=0.005)
    assert ends["adashift"] == pytest.approx(-0.987, abs=0.01)  # where steps are counted from moves the third digit


def test_defaults_are_the_papers() -> None:
    method = AdaShift()
    assert (method.lr, method.keep, method.beta1, method.beta2) == (1e-3, 10, 0.9, 0.999)
    assert (method.epsilon, method.phi, method.weight_decay) == (1e-10, "max", 0.0)


@pytest.mark.parametrize(
    "fields", [{"lr": 0}, {"keep": 0}, {"beta1": 1.1}, {"beta2": 1.0}, {"phi": "min"}, {"epsilon": -1}]
)
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"AdaShift.{next(iter(fields))} must be"):
        AdaShift(**fields)
