"""PLATON: the notes' reference values and identities, exact counts, weights that come back, and resuming."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autokd.contracts import Sizes, TrainPlan
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.checkpoint import load_state, save_state
from autokd.methods.basics import Distil
from autokd.methods.basics.pruning import n_encoder_weights
from autokd.methods.moebert import ToExperts
from autokd.methods.platon import Platon
from autokd.methods.platon.scores import Sensitivities
from autokd.methods.platon.subjects import prunable
from autokd.models.elastic import shape_of
from autokd.models.encoder import Encoder
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, TEACHER, run_stages
from autokd.testing.tiny import tiny_task

N_STEPS = 20


def plan(n_steps: int = N_STEPS) -> TrainPlan:
    return TrainPlan(n_steps=n_steps, steps_per_epoch=10, batch_size=8, seeds=Seeds(1))


class Perceptron(nn.Module):
    """Two matrices of 24 and 40 weights to prune, and one that stays."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 8), nn.Linear(8, 5)])
        self.head = nn.Linear(5, 1)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))

    def forward(self, value: Tensor) -> Tensor:
        for layer in self.layers:
            value = torch.tanh(layer(value))
        return self.head(value)

    @property
    def matrices(self) -> list[nn.Parameter]:
        return [layer.weight for layer in self.layers]


def give_gradients(model: Perceptron, step: int, scale: float = 1.0) -> None:
    """Gradients that differ from step to step, the same for equal steps."""
    draw = torch.Generator().manual_seed(1000 + step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw) * scale


def train_step(model: Perceptron, run, step: int, scale: float = 1.0, lr: float = 0.1) -> None:
    """One step as the loop makes it: gradients, optimizer, hook, and no gradients."""
    give_gradients(model, step, scale)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= lr * parameter.grad / scale
    run.after_step(step)
    model.zero_grad()


def zeros(tensors) -> int:
    return sum(int((tensor == 0).sum()) for tensor in tensors)


@pytest.mark.parametrize(("initial", "final"), [(100, 300), (0.1, 0.3)])
def test_reference_schedule(initial: float, final: float) -> None:
    schedule = Platon(keep=0.1, initial=initial, final=final).schedule(1000)
    kept = {t: 1 - schedule.share(t) for t in (0, 100, 101, 250, 400, 700, 701, 1000)}
    reference = {0: 1, 100: 1, 101: 0.99551, 250: 0.47969, 400: 0.2125, 700: 0.1, 701: 0.1, 1000: 0.1}
    assert kept == pytest.approx(reference, abs=1e-5)
    assert kept[400] - 0.1 == pytest.approx(0.9 / 8)  # half way an eighth of the excess is left
    path = [schedule.share(t) for t in range(1001)]
    assert path == sorted(path)
    assert max(b - a for a, b in pairwise(path)) < 0.0046  # no jump at either end
    assert [t for t in range(1, 131) if schedule.masks(t)] == [110, 120, 130]
    assert all(schedule.masks(t) for t in range(701, 1001))
    assert [t for t in range(680, 701) if schedule.masks(t)] == [680, 690, 700]


def test_the_last_step_masks_where_there_is_no_final_phase() -> None:
    schedule = Platon(keep=0.3, initial=0, final=0, every=7).schedule(20)
    assert [t for t in range(1, 21) if schedule.masks(t)] == [7, 14, 20]
    assert schedule.share(20) == pytest.approx(0.7)


def test_short_loops_have_shorter_windows_and_too_short_ones_are_refused() -> None:
    assert Platon(every=10, final=0.3).schedule(9).every == 6
    assert Platon(every=10, final=1).schedule(2).every == 1
    with pytest.raises(SpecError, match=r"^Platon.initial and .final must fit into the loop's 20 steps, but together"):
        Platon(initial=15, final=10).build(Perceptron(), plan())


def single(values: list[float], beta1: float, beta2: float | None, window: int = 1) -> tuple[Tensor, dict]:
    """Scores and state of weights of 1 after these gradients, one row of [weights] per step."""
    parameter = nn.Parameter(torch.ones(len(values[0])))
    scores = Sensitivities([parameter], window, beta1, beta2)
    for step, row in enumerate(values, 1):
        parameter.grad = torch.tensor(row)
        scores.observe(step)
    return scores.values()[0], scores.state_dict()


def test_reference_averages_of_a_constant_sensitivity() -> None:
    score, state = single([[3.7]] * 20, 0.85, 0.95)
    assert float(state["means"][0]) == pytest.approx(3.556590, abs=2e-6)
    assert float(state["spreads"][0]) == pytest.approx(0.502770, abs=1e-6)
    assert float(score) == pytest.approx(3.556590 * 0.502770, abs=1e-5)


def test_uncertainty_is_beta1_times_the_distance_to_the_mean_before() -> None:
    draw = torch.rand(30, 50, generator=torch.Generator().manual_seed(2))
    beta1, beta2 = 0.85, 0.9
    mean, spread = torch.zeros(50), torch.zeros(50)
    for value in draw:
        spread = beta2 * spread + (1 - beta2) * beta1 * (value - mean).abs()
        mean = beta1 * mean + (1 - beta1) * value
    score, state = single(draw.tolist(), beta1, beta2)
    torch.testing.assert_close(state["spreads"][0], spread)
    torch.testing.assert_close(score, mean * spread)


def test_without_noise_the_ranking_is_that_of_sensitivity() -> None:
    rows = torch.rand(1, 40, generator=torch.Generator().manual_seed(3)).repeat(25, 1)
    assert torch.equal(single(rows.tolist(), 0.85, 0.95)[0].argsort(), rows[0].argsort())


def test_a_window_takes_the_mean_of_its_steps() -> None:
    rows = [[float(i)] for i in (-1, 2, 3, 10, 20, 60)]
    assert float(single(rows, 0.0, None, window=3)[0]) == pytest.approx(30)
    assert float(single(rows, 0.5, None, window=3)[0]) == pytest.approx(0.5 * 0.5 * 2 + 0.5 * 30)


def test_what_varies_ranks_above_what_does_not() -> None:
    score, _ = single([[1.0, 2.0 * (step % 2)] for step in range(40)], 0.85, 0.95)
    assert float(score[1]) > float(score[0])


@pytest.mark.parametrize("beta2", [0.65, 0.95])
def test_plain_sensitivity_is_that_of_the_last_step_bit_for_bit(beta2: float) -> None:
    model = Perceptron()
    method = Platon(score="sensitivity", beta1=0.0, beta2=beta2, every=1, initial=0, final=1)
    run = method.build(model, plan())
    for step in range(1, 6):
        train_step(model, run, step)
    give_gradients(model, 6)
    expected = [(weight * weight.grad).abs() for weight in model.matrices]
    run.after_step(6)
    assert all(torch.equal(a, b) for a, b in zip(run.state_dict()["scores"]["means"], expected, strict=True))


def test_platon_without_beta1_is_refused() -> None:
    message = (
        "Platon.beta1 must be above 0 for score 'platon', or no weight is uncertain "
        "(score 'sensitivity' does without), but got 0.0."
    )
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        Platon(beta1=0.0)
    Platon(beta1=0.0, score="magnitude")
    assert float(single([[1.0]] * 5, 0.0, 0.9)[0]) == 0  # why it is refused


def test_a_scaled_loss_scales_scores_by_its_square_and_leaves_the_masks() -> None:
    models, runs = [Perceptron(), Perceptron()], []
    for model, scale in zip(models, (1.0, 1024.0), strict=True):
        run = Platon(keep=0.3, every=2, initial=0, final=4).build(model, plan())
        for step in range(1, N_STEPS + 1):
            train_step(model, run, step, scale)
        runs.append(run)
    for a, b in zip(*(model.matrices for model in models), strict=True):
        assert torch.equal(a == 0, b == 0)
    states = [run.state_dict()["scores"] for run in runs]
    for name in ("means", "spreads"):
        for a, b in zip(states[0][name], states[1][name], strict=True):
            torch.testing.assert_close(a * 1024, b)


@settings(max_examples=40, deadline=None)
@given(keep=st.floats(0, 1), score=st.sampled_from(["platon", "sensitivity", "magnitude"]), tied=st.booleans())
def test_counts_are_exact_with_ties(keep: float, score: str, tied: bool) -> None:
    model = Perceptron()
    run = Platon(keep=keep, score=score, every=1, initial=0, final=0).build(model, plan(2))
    if tied:
        for weight in model.matrices:
            weight.data.fill_(0.5)
            weight.grad = torch.zeros_like(weight)
    else:
        give_gradients(model, 1)
    run.after_step(1)
    run.after_step(2)
    assert zeros(model.matrices) == round(64 * (1 - keep))


def test_global_ranking_keeps_more_of_the_layer_that_matters_and_local_the_same_share() -> None:
    left = {}
    for ranking in ("global", "local"):
        model = Perceptron()
        run = Platon(keep=0.5, every=2, initial=0, final=0, ranking=ranking).build(model, plan())
        for step in range(1, N_STEPS + 1):
            give_gradients(model, step)
            model.layers[1].weight.grad *= 100
            run.after_step(step)
        left[ranking] = [int(weight.count_nonzero()) for weight in model.matrices]
    assert left == {"global": [0, 32], "local": [12, 20]}


def bert_base() -> EncoderShape:
    return EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)


def test_reference_counts_on_bert_base() -> None:
    with torch.device("meta"):
        model = Encoder(bert_base())
    assert sum(tensor.numel() for tensor in prunable(model, biases=False)) == 84_934_656
    assert sum(tensor.numel() for tensor in prunable(model, biases=True)) == 85_017_600
    assert n_encoder_weights(bert_base()) == 84_934_656


def test_biases_are_pruned_where_asked_and_nothing_else_ever() -> None:
    for biases, n in ((False, 64), (True, 77)):
        model = Perceptron()
        run = Platon(keep=0.25, every=2, initial=0, final=2, biases=biases).build(model, plan())
        for step in range(1, N_STEPS + 1):
            train_step(model, run, step)
        pruned = [tensor for layer in model.layers for tensor in layer.parameters()]
        assert zeros(pruned) == round(0.75 * n)
        assert zeros(layer.bias for layer in model.layers) > 0 or not biases
        assert zeros(model.head.parameters()) == 0


def test_a_trained_network_ends_at_its_target() -> None:
    model, optimum = Perceptron(1), Perceptron(2)
    method = Platon(keep=0.1, every=5, initial=0.1, final=0.2)
    run, schedule = method.build(model, plan(200)), method.schedule(200)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    draw = torch.Generator().manual_seed(4)
    for step in range(1, 201):
        values = torch.randn(16, 3, generator=draw)
        nn.functional.mse_loss(model(values), optimum(values).detach()).backward()
        optimizer.step()
        run.after_step(step)
        optimizer.zero_grad()
        if schedule.masks(step):
            assert zeros(model.matrices) == round(64 * schedule.share(step))
    assert zeros(model.matrices) == 58


def test_a_weight_that_was_zeroed_comes_back_for_good_once_it_matters() -> None:
    model = Perceptron()
    run = Platon(keep=0.5, every=2, initial=0, final=8).build(model, plan())
    weight, history = model.layers[0].weight, {}
    for step in range(1, N_STEPS + 1):
        give_gradients(model, step)
        weight.grad[0, 0] = 1e-6 if step <= 4 else 50.0
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        run.after_step(step)
        history[step] = float(weight.detach()[0, 0])
    assert history[4] == 0
    assert all(history[step] != 0 for step in range(8, N_STEPS + 1))
    assert zeros(model.matrices) == 32


def test_between_masks_weights_are_alive_until_the_final_phase() -> None:
    model = Perceptron()
    run = Platon(keep=0.5, every=4, initial=0, final=6).build(model, plan())
    counts = {}
    for step in range(1, N_STEPS + 1):
        train_step(model, run, step)
        counts[step] = zeros(model.matrices)
    assert [step for step, count in counts.items() if count > 0] == [4, 8, 12, *range(15, 21)]
    assert set(list(counts.values())[14:]) == {32}


@pytest.mark.parametrize("frozen", [False, True])
def test_the_final_mask_is_ranked_anew_unless_it_is_frozen(frozen: bool) -> None:
    model = Perceptron()
    run = Platon(keep=0.5, beta1=0.5, every=2, initial=0, final=15, frozen=frozen).build(model, plan())
    masks = []
    for step in range(1, N_STEPS + 1):
        train_step(model, run, step, lr=1.0)
        masks.append(torch.cat([(weight == 0).flatten() for weight in model.matrices]))
    final = masks[5:]
    assert all(torch.equal(mask, final[0]) for mask in final) is frozen
    assert all(int(mask.sum()) == 32 for mask in final)


def test_a_parameter_without_a_gradient_has_no_sensitivity() -> None:
    model = Perceptron()
    run = Platon(keep=40 / 64, every=2, initial=0, final=0).build(model, plan())
    for step in range(1, N_STEPS + 1):
        give_gradients(model, step)
        model.layers[0].weight.grad = None
        run.after_step(step)
    assert [zeros([weight]) for weight in model.matrices] == [24, 0]


@pytest.mark.parametrize(("score", "n_bytes"), [("platon", 12), ("sensitivity", 8), ("magnitude", 0)])
def test_bytes_of_state_per_weight(score: str, n_bytes: int) -> None:
    model = Perceptron()
    run = Platon(score=score, every=2, initial=0, final=10).build(model, plan())

    def size() -> int:
        told = run.state_dict()
        tensors = [*(t for part in told["scores"].values() for t in part), *(told["kept"] or [])]
        return sum(t.numel() * t.element_size() for t in tensors)

    for step in range(1, N_STEPS + 1):
        train_step(model, run, step)
        assert size() == 64 * (n_bytes + (step > 10))


@pytest.mark.parametrize("fields", [{}, {"frozen": True}, {"score": "sensitivity"}, {"score": "magnitude"}])
@pytest.mark.parametrize("at", [1, 7, 12, 16, 17])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Path, fields: dict, at: int) -> None:
    method = Platon(keep=0.4, every=3, initial=2, final=6, **fields)
    model, other = Perceptron(1), Perceptron(2)
    run = method.build(model, plan())
    for step in range(1, N_STEPS + 1):
        train_step(model, run, step)
        if step == at:
            save_state(tmp_path, {"model": model.state_dict(), "hook": run.state_dict()})
    told = load_state(tmp_path)
    resumed = method.build(other, plan())
    other.load_state_dict(told["model"])
    resumed.load_state_dict(told["hook"])
    for step in range(at + 1, N_STEPS + 1):
        train_step(other, resumed, step)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_last_mask_is_applied_once_more_at_the_end() -> None:
    model = Perceptron()
    run = Platon(keep=0.5, every=2, initial=0, final=4).build(model, plan())
    for step in range(1, N_STEPS + 1):
        train_step(model, run, step)
    with torch.no_grad():
        for weight in model.matrices:
            weight += 1  # as an average over steps might, which another hook puts in place at the end
    assert run.finish(model) is model
    assert zeros(model.matrices) == 32


@pytest.mark.parametrize("experts", [False, True])
def test_a_distilled_student_has_the_sparsity(tmp_path: Path, experts: bool) -> None:
    before = (TEACHER, ToExperts(experts=2, width=0.5, batch_size=8)) if experts else STUDENT
    models = run_stages(before, tiny_task(), tmp_path)
    stage = Distil(hooks=(Platon(keep=0.2, every=2, initial=0.1, final=0.3),), epochs=2, batch_size=8)
    made = stage.run(models, tiny_context(tmp_path, tiny_task(), "basics:Distil"))
    weights = prunable(build(made["student"]), biases=False)
    n = sum(weight.numel() for weight in weights)
    assert n == n_encoder_weights(shape_of(made["student"]))
    assert zeros(weights) == round(0.8 * n)


def test_cost_follows_the_number_of_weights() -> None:
    small, big = (bert_base().with_layers(bert_base().layers[:n]) for n in (2, 4))
    costs = [Platon().cost(Sizes(1, 1.0, bert_base(), shape)) for shape in (small, big)]
    assert 0 < costs[0] * 2 == costs[1]
    assert Platon().cost(Sizes(1, 1.0, bert_base())) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"keep": 1.1},
        {"score": "movement"},
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"every": 0},
        {"initial": -1},
        {"final": 0.95},
        {"ranking": "layer"},
        {"frozen": 1},
        {"biases": "yes"},
    ],
)
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"^Platon.{next(iter(fields))} must be"):
        Platon(**fields)
