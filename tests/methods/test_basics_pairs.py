"""Layer maps and the transport between layers: exact plans, their identities, and what they cost beside a program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from autokd.methods.basics.pairs import LayerMap, layer_map
from autokd.methods.basics.transport import transport_plan

SHAPES = [(1, 6), (2, 4), (3, 6), (4, 6), (5, 3), (4, 12), (5, 12), (6, 6), (12, 12)]


def drawn(n: int, m: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, m)))


def least_cost(costs: np.ndarray) -> float:
    """The optimum by linear programming."""
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones((1, m)))
    columns = np.kron(np.ones((1, n)), np.eye(m))
    masses = [*[1 / n] * n, *[1 / m] * m]
    return float(linprog(costs.ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses).fun)


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_a_plan_keeps_its_marginals_and_costs_least(n: int, m: int) -> None:
    costs = drawn(n, m)
    plan = transport_plan(costs)
    assert float(plan.min()) >= 0
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(0), torch.full((m,), 1 / m, dtype=torch.float64))
    assert float((plan * costs).sum()) == pytest.approx(least_cost(costs.numpy()), abs=1e-9)


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_a_constant_on_all_costs_changes_no_plan(n: int, m: int) -> None:
    costs = drawn(n, m, seed=1)  # of both signs, as those of a mutual information are
    plan = transport_plan(costs)
    assert torch.equal(transport_plan(costs - costs.min()), plan)
    assert torch.equal(transport_plan(costs + 100), plan)
    assert torch.equal(transport_plan(costs * 7), plan)


def test_equal_costs_cost_what_they_are() -> None:
    plan = transport_plan(torch.full((3, 6), 0.25))
    assert float((plan * 0.25).sum()) == pytest.approx(0.25)


def test_layers_that_fit_are_found_whatever_their_order() -> None:
    order = [3, 0, 2, 1]
    costs = torch.ones(4, 4)
    costs[range(4), order] = 0.0
    plan = transport_plan(costs)
    assert plan.nonzero()[:, 1].tolist() == order
    assert plan[range(4), order].tolist() == [0.25] * 4
    assert torch.equal(transport_plan(1 - torch.eye(4)), torch.eye(4) / 4)
    assert torch.equal(transport_plan(costs[:, order]), transport_plan(costs)[:, order])


def test_a_layer_in_the_middle_is_shared() -> None:
    # Two student layers and three teacher layers: each student layer carries one and a half.
    plan = transport_plan(torch.tensor([[0.0, 1.0, 9.0], [9.0, 1.0, 0.0]]))
    torch.testing.assert_close(plan, torch.tensor([[1 / 3, 1 / 6, 0.0], [0.0, 1 / 6, 1 / 3]]))


def test_costs_that_are_not_finite_show_in_the_loss() -> None:
    costs = torch.tensor([[0.0, float("nan")], [1.0, 2.0]])
    assert torch.equal(transport_plan(costs), torch.full((2, 2), 0.25))


def test_maps_name_their_pairs() -> None:
    assert layer_map("skip", 12, 4) == LayerMap(((0, 0), (3, 1), (6, 2), (9, 3), (12, 4)))
    assert layer_map("last", 12, 4, embedding=False) == LayerMap(((9, 1), (10, 2), (11, 3), (12, 4)))
    emd = layer_map("emd", 3, 2)
    assert emd == LayerMap(((0, 0), (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)), (2, 3))
    assert (emd.teacher, emd.student) == ((0, 1, 2, 3), (0, 1, 2))
    assert layer_map("emd", 3, 2, embedding=False).pairs == emd.pairs[1:]
    assert layer_map("emd", 2, 3).transported == (3, 2)  # a deeper student is no trouble


def test_no_layer_of_a_deeper_student_is_compared_with_the_embeddings() -> None:
    assert layer_map("skip", 2, 3).pairs == ((0, 0), (1, 2), (2, 3))
    assert layer_map("skip", 2, 3, embedding=False).pairs == ((1, 2), (2, 3))
    assert layer_map("skip", 1, 4, embedding=False).pairs == ((1, 4),)
    for n_teacher in range(1, 13):
        for n_student in range(1, 13):
            pairs = layer_map("skip", n_teacher, n_student).pairs
            assert pairs[0] == (0, 0)
            assert pairs[-1] == (n_teacher, n_student)
            assert all(t > 0 and s > 0 for t, s in pairs[1:])
            assert len(pairs) == 1 + n_student or n_student > n_teacher


def test_weights_are_one_for_fixed_pairs_and_the_plan_for_the_others() -> None:
    fixed = layer_map("skip", 4, 2)
    assert fixed.weights(torch.tensor([3.0, 1.0, 2.0])).tolist() == [1, 1, 1]
    emd = layer_map("emd", 2, 2)
    losses = torch.tensor([5.0, 9.0, 0.0, 0.0, 9.0], requires_grad=True)
    weights = emd.weights(losses)
    assert weights.tolist() == [1, 0, 0.5, 0.5, 0]
    assert not weights.requires_grad
