"""MI-alpha: the bound's reference numbers, its identities, and a critic that learns."""

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autokd.contracts import Outputs, Sizes
from autokd.core.errors import SpecError
from autokd.methods.basics import Distil, TruncateLayers
from autokd.methods.mi_alpha import MutualInformation, bound_parts, information, leave_one_out
from autokd.models.elastic import shape_of
from autokd.testing.context import tiny_context
from autokd.testing.methods import TEACHER, run_stages
from autokd.testing.tiny import tiny_task

SCORES = torch.tensor([[2, 0, 1], [0.5, 1.5, -1], [0, -0.5, 3]], dtype=torch.float64)
BASELINE = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)


def drawn(seed: int, count: int = 6, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.normal(0, scale, (count, count))), torch.from_numpy(draw.normal(0, 1, count))


@pytest.mark.parametrize(
    ("alpha", "bound", "joint", "marginal"),
    [
        (0.0, 1.969319, 2.166667, 1.197347),
        (0.1, 1.593121, 1.756522, 1.163401),
        (0.5, 0.949437, 1.015843, 1.066406),
        (0.9, 0.609201, 0.619004, 1.009802),
        (1.0, 0.541367, 0.541367, 1.000000),
    ],
)
def test_reference_numbers(alpha: float, bound: float, joint: float, marginal: float) -> None:
    parts = bound_parts(SCORES, BASELINE, alpha)
    assert [float(part) for part in parts] == pytest.approx([joint, marginal], abs=1e-6)
    assert float(information(SCORES, BASELINE, alpha)) == pytest.approx(bound, abs=1e-6)


def test_leave_one_out_leaves_exactly_one_out() -> None:
    scores, _ = drawn(0)
    expected = torch.stack(
        [torch.logsumexp(scores[:, [k for k in range(6) if k != j]], 1) - math.log(5) for j in range(6)], dim=1
    )
    torch.testing.assert_close(leave_one_out(scores), expected)


@pytest.mark.parametrize("gap", [15.0, 17.0, 20.0, 80.0])
def test_leave_one_out_survives_a_dominant_score_in_float32(gap: float) -> None:
    scores = gap * torch.eye(8)
    bound = information(scores, torch.zeros(8), 1.0)
    # Every row leaves its own, dominant score out once j is the diagonal; the others keep it.
    expected = torch.logsumexp(scores.double()[0, :7], 0) - math.log(7)
    assert float(leave_one_out(scores)[0, 7]) == pytest.approx(float(expected), abs=1e-5)
    assert float(leave_one_out(scores)[0, 0]) == pytest.approx(0.0, abs=1e-6)
    assert float(bound) == pytest.approx(gap - float(expected), abs=1e-4)


def test_end_points_are_info_nce_and_the_baseline_bound() -> None:
    scores, baseline = drawn(1)
    others = ~torch.eye(6, dtype=torch.bool)
    nce = (scores.diagonal().unsqueeze(1) - leave_one_out(scores))[others].mean()
    torch.testing.assert_close(information(scores, baseline, 1.0), nce)
    tuba = 1 + (scores.diagonal() - baseline).mean() - (scores - baseline.unsqueeze(1))[others].exp().mean()
    torch.testing.assert_close(information(scores, baseline, 0.0), tuba)


def test_upper_bounds_hold_for_every_score() -> None:
    for seed in range(200):
        scores, baseline = drawn(seed, scale=6.0)
        for alpha in (0.1, 0.5, 0.9):
            assert float(information(scores, baseline, alpha)) <= 1 + math.log(5 / alpha) + 1e-9
        assert float(information(scores, baseline, 1.0)) <= math.log(5) + 1e-9


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_invariances(alpha: float) -> None:
    scores, baseline = drawn(2)
    whole = information(scores, baseline, alpha)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(information(scores[order][:, order], baseline[order], alpha), whole)
    shift = torch.linspace(-2, 2, 6, dtype=torch.float64)
    torch.testing.assert_close(information(scores + shift.unsqueeze(1), baseline + shift, alpha), whole)
    alone = information(scores + shift.unsqueeze(1), baseline, alpha)
    assert torch.allclose(alone, whole) == (alpha == 1.0)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_gradients_are_finite_and_right(alpha: float) -> None:
    scores, baseline = (value.requires_grad_() for value in drawn(3, count=4))
    assert torch.autograd.gradcheck(lambda s, b: information(s, b, alpha), (scores, baseline))
    information(scores, baseline, alpha).backward()
    assert (baseline.grad is None or bool((baseline.grad == 0).all())) == (alpha == 1.0)


def test_uninformative_scores_are_worth_nothing() -> None:
    for alpha in (0.0, 0.5, 1.0):
        value = information(torch.full((5, 5), 3.0), torch.full((5,), 3.0), alpha)
        assert float(value) == pytest.approx(0.0, abs=1e-6)


def built(root, method: MutualInformation):
    task = tiny_task()
    models = run_stages((TEACHER, TruncateLayers(keep=1)), task, root)
    return method.build(models, tiny_context(root, task, "basics:Distil")), models


def outputs(states: torch.Tensor) -> Outputs:
    count = len(states)
    return Outputs(torch.zeros(count, 2), torch.ones(count, 3), {i: states.unsqueeze(1) for i in range(3)})


def test_the_critic_learns_what_two_states_share(tmp_path) -> None:
    term, _ = built(tmp_path, MutualInformation(alpha=0.9, hidden=32, out=16))
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(term.parameters(), lr=3e-3)

    def batch(shared: float) -> tuple[Outputs, Outputs]:
        x = torch.randn(32, 16, generator=generator)
        y = shared * x + (1 - shared**2) ** 0.5 * torch.randn(32, 16, generator=generator)
        return outputs(x), outputs(y)

    def trained(shared: float) -> float:
        values = []
        for _ in range(150):
            loss = term(*batch(shared), None, None)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(-float(loss.detach()))
        return sum(values[-20:]) / 20

    assert trained(0.95) > 1.0
    assert trained(0.0) < 0.5


def test_the_term_wants_no_embedding_output_and_depends_on_its_seed_only(tmp_path) -> None:
    term, models = built(tmp_path, MutualInformation())
    assert 0 not in term.student_wants.hidden
    assert term.student_wants.hidden == {1}
    assert term.teacher_wants is not None
    assert term.teacher_wants.hidden == {2}
    again = MutualInformation().build(models, tiny_context(tmp_path, tiny_task(), "basics:Distil"))
    for one, two in zip(term.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert all(float(parameter.detach().std()) > 0 for parameter in term.parameters() if parameter.numel() > 1)


def test_forecast_counts_the_critic(tmp_path) -> None:
    method = MutualInformation(hidden=32, out=8)
    term, models = built(tmp_path, method)
    sizes = Sizes(10, 5.0, shape_of(models["teacher"]), shape_of(models["student"]))
    states = outputs(torch.randn(6, 16))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        term(states, states, None, None)
    scores = 6 * 6 * 8  # the products of all pairs, which the forecast leaves out
    assert counter.get_total_flops() // 2 - scores == 6 * method.cost(sizes)


def test_a_single_row_gives_no_loss_and_no_gradient(tmp_path) -> None:
    term, _ = built(tmp_path, MutualInformation())
    states = torch.randn(1, 16, requires_grad=True)
    logits = torch.zeros(1, 2, requires_grad=True)
    student = Outputs(logits, torch.ones(1, 3), {1: states.unsqueeze(1)})
    loss = term(student, outputs(torch.randn(1, 16)), None, None)
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_it_trains_the_student_through_the_loop(tmp_path) -> None:
    task = tiny_task()
    models = run_stages((TEACHER, TruncateLayers(keep=1)), task, tmp_path)
    stage = Distil(objectives=(MutualInformation(hidden=16, out=8),), epochs=1, batch_size=16)
    made = stage.run(models, tiny_context(tmp_path, task, "basics:Distil"))
    name = "layers.0.ffn.up.weight"
    assert not torch.equal(made["student"].weights[name], models["student"].weights[name])
    # The classifier reads what this objective does not.
    assert torch.equal(made["student"].weights["classifier.bias"], models["student"].weights["classifier.bias"])


@pytest.mark.parametrize("fields", [{"alpha": -0.1}, {"alpha": 1.1}, {"layers": "all"}, {"hidden": 0}, {"weight": -1}])
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"MutualInformation.{next(iter(fields))} must be"):
        MutualInformation(**fields)
