"""MI-alpha: the bound's reference numbers, its identities, and a critic that learns."""

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autokd.contracts import Models, Outputs, Sizes
from autokd.core.errors import SpecError
from autokd.engine.dropout import StreamDropout
from autokd.methods.basics import Distil, TruncateLayers
from autokd.methods.mi_alpha import MutualInformation, bound_parts, information, leave_one_out
from autokd.methods.mi_alpha.critics import AllTokens, Critic, sinusoids
from autokd.models.elastic import shape_of
from autokd.models.tiny import tiny_slot
from autokd.testing.context import tiny_context
from autokd.testing.methods import TEACHER, Case, check_all, run_stages
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
    for seed in range(3000):
        scores, baseline = drawn(seed, scale=6.0)
        alpha = (0.1, 0.5, 0.9)[seed % 3]
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


def test_it_is_leave_one_out_and_not_plain_info_nce() -> None:
    plain = math.log(3) + (SCORES.diagonal() - torch.logsumexp(SCORES, 1)).mean()
    assert float(plain) == pytest.approx(0.813248, abs=1e-6)
    assert float(information(SCORES, BASELINE, 1.0)) == pytest.approx(0.541367, abs=1e-6)


def test_without_sampling_and_with_a_baseline_of_one_it_is_nwj() -> None:
    others = ~torch.eye(3, dtype=torch.bool)
    nwj = SCORES.diagonal().mean() - (SCORES[others] - 1).exp().mean()
    torch.testing.assert_close(information(SCORES, torch.ones(3, dtype=torch.float64), 0.0), nwj)


@pytest.mark.parametrize("gap", [20.0, 40.0])
def test_a_converged_critic_is_worth_log_seven_in_float32(gap: float) -> None:
    assert float(information(gap * torch.eye(8), torch.zeros(8), 1.0)) == pytest.approx(math.log(7), abs=1e-5)


@pytest.mark.parametrize(
    ("dimensions", "truth", "means", "deviations"),
    [
        (2, 1.66, (1.64, 1.65, 1.58, 1.49, 1.38), (0.43, 0.35, 0.30, 0.28, 0.26)),
        (5, 5.82, (5.11, 4.89, 3.94, 3.45, 2.62), (12.96, 0.50, 0.24, 0.19, 0.09)),
    ],
)
def test_alpha_trades_bias_for_variance(dimensions, truth, means, deviations) -> None:
    correlation = math.sqrt(1 - math.exp(-2 * truth / dimensions))
    draw = np.random.default_rng(0)
    found: dict[float, list[float]] = {alpha: [] for alpha in (0.0, 0.1, 0.5, 0.9, 1.0)}
    noise = 1 - correlation**2
    for _ in range(400):
        x = draw.normal(size=(16, dimensions))
        y = correlation * x + math.sqrt(noise) * draw.normal(size=(16, dimensions))
        # The optimal critic: log p(y | x) / p(y), for row y_i and column x_j.
        distance = ((y[:, None] - correlation * x[None]) ** 2).sum(2)
        scores = -distance / (2 * noise) + (y**2).sum(1)[:, None] / 2 - dimensions / 2 * math.log(noise)
        for alpha, values in found.items():
            values.append(float(information(torch.from_numpy(scores), torch.zeros(16, dtype=torch.float64), alpha)))
    mean = [float(np.mean(values)) for values in found.values()]
    deviation = [float(np.std(values)) for values in found.values()]
    # The reference numbers are of other draws; at alpha 0 a few batches decide the deviation.
    assert mean[1:] == pytest.approx(means[1:], abs=0.1)
    assert deviation[1:] == pytest.approx(deviations[1:], abs=0.06)
    assert mean[0] == pytest.approx(truth, abs=1.0)
    assert mean[1:] == sorted(mean[1:], reverse=True)
    assert deviation == sorted(deviation, reverse=True)
    assert mean[1] < truth + 0.1


def rows_of(states: torch.Tensor, mask: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(len(states), 2), mask, {i: states for i in range(5)})


def critic_of(width: int = 16, seed: int = 0) -> AllTokens:
    critic = Critic("transformer", width, width, 32, 8, torch.Generator().manual_seed(seed))
    assert isinstance(critic.student, AllTokens)
    return critic.student


def test_the_transformer_critic_reads_examples_not_positions() -> None:
    critic = critic_of()
    generator = torch.Generator().manual_seed(1)
    states, mask = torch.randn(6, 10, 16, generator=generator), torch.ones(6, 10, dtype=torch.long)
    vectors = critic(states, mask, None)
    assert vectors.shape == (6, 8)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(critic(states[order], mask[order], None), vectors[order])
    # Positions run along the sequence: the same tokens in another order are another row.
    assert not torch.allclose(critic(states.flip(1), mask, None), vectors, atol=1e-4)


def test_the_transformer_critic_honours_the_mask() -> None:
    critic = critic_of()
    states = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    vectors = critic(states, mask, None)
    garbage = states.clone()
    garbage[1, 4:] = float("nan")
    assert torch.equal(critic(garbage, mask, None), vectors)
    torch.testing.assert_close(critic(states[1:, :4], mask[1:, :4], None), vectors[1:])
    changed = states.clone()
    changed[1, 3] += 1.0
    assert not torch.allclose(critic(changed, mask, None)[1], vectors[1], atol=1e-4)


def test_the_transformer_critic_drops_by_the_stream_it_is_given() -> None:
    critic = critic_of()
    states, mask = torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.long)
    device = torch.device("cpu")
    before = torch.get_rng_state()
    one, again, other = (critic(states, mask, StreamDropout(seed, device)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, critic(states, mask, None))


def test_position_codes_are_sinusoids() -> None:
    codes = sinusoids(50, 6)
    assert codes[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert float(codes[3, 0]) == pytest.approx(math.sin(3), abs=1e-6)
    assert float(codes[7, 3]) == pytest.approx(math.cos(7 / 10000 ** (2 / 6)), abs=1e-6)
    assert sinusoids(4, 5).shape == (4, 5)


@pytest.mark.parametrize(("width", "heads"), [(384, 8), (312, 8), (20, 4), (7, 1)])
def test_heads_are_eight_where_they_divide_the_width(width: int, heads: int) -> None:
    assert critic_of(width).layers[0].attention.heads == heads


def test_the_paper_s_widths_are_the_defaults() -> None:
    mlp = Critic("mlp", 24, 48, MutualInformation().hidden, MutualInformation()._width, torch.Generator())
    assert [tuple(p.shape) for p in mlp.student.parameters() if p.dim() > 1] == [(512, 24), (512, 512), (64, 512)]
    assert MutualInformation(critic="transformer")._width == 16
    assert MutualInformation(out=7)._width == 7


def test_the_baseline_is_a_function_of_the_row_alone(tmp_path) -> None:
    for kind in ("mlp", "transformer"):
        term, _ = built(tmp_path / kind, MutualInformation(alpha=0.0, critic=kind, hidden=16, out=8))
        generator = torch.Generator().manual_seed(4)
        ours, theirs = (torch.randn(5, 4, 16, generator=generator, requires_grad=True) for _ in range(2))
        mask = torch.ones(5, 4, dtype=torch.long)
        baseline = term.critic.baseline(theirs, mask, None)
        assert baseline.shape == (5, 1)
        gradient = torch.autograd.grad(baseline[2], theirs)[0]
        assert [float(row.abs().sum()) > 0 for row in gradient] == [False, False, True, False, False]
        scores = term.critic.teacher(theirs, mask, None) @ term.critic.student(ours, mask, None).T
        assert torch.autograd.grad(scores[1, 3], ours)[0].abs().sum((1, 2)).nonzero().tolist() == [[3]]


@pytest.mark.parametrize("layers", ["skip", "last", "emd"])
@pytest.mark.parametrize("critic", ["mlp", "transformer"])
def test_forecasts_count_every_critic_under_every_map(critic: str, layers: str, tmp_path) -> None:
    method = MutualInformation(critic=critic, layers=layers, hidden=32, out=8)
    models = Models({"teacher": tiny_slot(1, depth=4), "student": tiny_slot(2, depth=2)})
    term = method.build(models, tiny_context(tmp_path, tiny_task(), "basics:Distil"))
    embedding = critic == "transformer"
    assert (0 in term.student_wants.hidden) == embedding
    states = rows_of(torch.randn(6, 5, 16), torch.ones(6, 5, dtype=torch.long))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        term(states, states, None, None)
    pairs = {"skip": 2, "last": 2, "emd": 8}[layers] + embedding
    scores = pairs * 6 * 6 * 8  # the products of all pairs, which the forecast leaves out
    sizes = Sizes(10, 5.0, shape_of(models["teacher"]), shape_of(models["student"]))
    assert counter.get_total_flops() // 2 - scores == 6 * method.cost(sizes)


def test_transport_adds_up_the_bounds_of_its_plan(tmp_path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=2), "student": tiny_slot(2, depth=2)})
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil")
    term = MutualInformation(layers="emd", hidden=16, out=8).build(models, ctx)
    generator = torch.Generator().manual_seed(5)
    mask = torch.ones(6, 3, dtype=torch.long)
    ours, theirs = ({i: torch.randn(6, 3, 16, generator=generator) for i in range(3)} for _ in range(2))

    def bound(t: int, s: int) -> float:
        scores = term.critic.teacher(theirs[t], mask, None) @ term.critic.student(ours[s], mask, None).T
        return float(information(scores, term.critic.baseline(theirs[t], mask, None).squeeze(1), 0.9).detach())

    logits = torch.zeros(6, 2)
    value = float(term(Outputs(logits, mask, ours), Outputs(logits, mask, theirs), None, None).detach())
    assert value == pytest.approx(-max(bound(1, 1) + bound(2, 2), bound(1, 2) + bound(2, 1)) / 2, abs=1e-5)


def test_the_transformer_critic_learns_what_tokens_share(tmp_path) -> None:
    term, _ = built(tmp_path, MutualInformation(critic="transformer", hidden=32, out=16))
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(term.parameters(), lr=3e-3)
    mask = torch.ones(16, 4, dtype=torch.long)
    values = []
    for _ in range(60):
        x = torch.randn(16, 4, 16, generator=generator)
        x[:, 0] = 0.0  # the first token tells nothing
        loss = term(rows_of(x, mask), rows_of(x + 0.1 * torch.randn(16, 4, 16, generator=generator), mask), None, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(-float(loss.detach()))
    assert sum(values[-10:]) / 10 > 2.0  # two pairs of layers, each worth log(15) at most


@pytest.mark.parametrize("fields", [{"critic": "rnn"}, {"out": 0}])
def test_fields_of_the_critic_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"MutualInformation.{next(iter(fields))} must be"):
        MutualInformation(**fields)


@pytest.mark.parametrize("layers", ["skip", "emd"])
def test_the_transformer_critic_keeps_the_contract(layers: str, tmp_path) -> None:
    check_all(Case(MutualInformation(critic="transformer", layers=layers, hidden=16, out=8)), tmp_path)
