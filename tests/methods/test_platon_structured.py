"""Structured pruning: masks that equal a network without the units, units that come back, cuts that change nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Batch, MaskingHook, ReshapingHook, Sizes, Slot, TrainPlan
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape, LayerShape
from autokd.measure.cost import count_parameters, counted_macs
from autokd.methods.basics import Distil, Labels, MagnitudePruning, Rewind
from autokd.methods.moebert import ToExperts
from autokd.methods.platon import Platon, StructuredPlaton
from autokd.methods.platon.subjects import unit_sums
from autokd.models.elastic import shape_of
from autokd.models.encoder import Encoder
from autokd.models.slots import build, content_of
from autokd.models.tiny import tiny_slot
from autokd.pipeline import Pipeline
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, TEACHER, kit_sizes, run_stages
from autokd.testing.tiny import tiny_task

N_STEPS = 20
PLAN = TrainPlan(n_steps=N_STEPS, steps_per_epoch=10, batch_size=8, seeds=Seeds(1))


def lively(seed: int = 0, **changes) -> Encoder:
    """A small encoder with all its weights, biases included, drawn large enough to matter."""
    slot = tiny_slot(**changes)
    draw = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(value.shape, generator=draw) * 0.3 for name, value in slot.weights.items()}
    model = build(Slot(slot.builder, slot.config, weights, content_of(slot.builder, slot.config, weights)))
    assert isinstance(model, Encoder)
    return model


@pytest.fixture
def batch() -> Batch:
    ids = torch.randint(5, 100, (4, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    return Batch(ids, torch.zeros_like(ids), mask, torch.tensor([0, 1, 1, 0]), torch.arange(4))


def train(model: Encoder, run, batch: Batch, steps: range, lr: float = 1e-2) -> None:
    """Steps of the loop's order on one batch, whose labels turn so that gradients do too."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in steps:
        labels = batch.labels if step % 2 else 1 - batch.labels
        torch.nn.functional.cross_entropy(model(batch).logits, labels).backward()
        optimizer.step()
        run.after_step(step)
        optimizer.zero_grad()


def masked_units(model: Encoder) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Per layer, which heads and which neurons give nothing."""
    heads, neurons = [], []
    for layer, shape in zip(model.layers, model.shape.layers, strict=True):
        columns = (layer.attention.output.weight == 0).all(0)
        heads.append(columns.view(shape.heads, shape.head_width).all(1))
        neurons.append((layer.ffn.down.weight == 0).all(0))
    return heads, neurons


def n_masked(model: Encoder) -> tuple[int, int]:
    heads, neurons = masked_units(model)
    return int(torch.cat(heads).sum()), int(torch.cat(neurons).sum())


def test_a_units_score_is_the_sum_over_its_weights() -> None:
    shape = LayerShape(heads=2, head_width=3, ffn=4)
    query, key, value, output = torch.rand(6, 5), torch.rand(6, 5), torch.rand(6, 5), torch.rand(5, 6)
    up, down = torch.rand(4, 5), torch.rand(5, 4)
    heads, neurons = unit_sums([query, key, value, output, up, down], shape)
    second = slice(3, 6)
    expected = query[second].sum() + key[second].sum() + value[second].sum() + output[:, second].sum()
    torch.testing.assert_close(heads[1], expected)
    torch.testing.assert_close(neurons[2], up[2].sum() + down[:, 2].sum())


@pytest.mark.parametrize("ranking", ["global", "local"])
@pytest.mark.parametrize("score", ["platon", "sensitivity", "magnitude"])
def test_the_cut_network_has_the_outputs_of_the_masked_one(batch: Batch, score: str, ranking: str) -> None:
    model = lively(depth=3)
    before = model.shape
    method = StructuredPlaton(keep=0.4, score=score, every=3, initial=0, final=5, ranking=ranking)
    run = method.build(model, PLAN)
    train(model, run, batch, range(1, N_STEPS + 1))
    assert n_masked(model) == ((7, 58) if ranking == "global" else (6, 57))
    masked = model(batch).logits
    heads, neurons = masked_units(model)
    small = run.finish(model)
    assert isinstance(small, Encoder)
    torch.testing.assert_close(small(batch).logits, masked, atol=1e-5, rtol=1e-5)
    assert [layer.heads for layer in small.shape.layers] == [int((~part).sum()) for part in heads]
    assert [layer.ffn for layer in small.shape.layers] == [int((~part).sum()) for part in neurons]
    expected = method.sizes_after(Sizes(1, 7.0, before, before)).student
    assert expected is not None
    assert count_parameters(small) == small.shape.params() == expected.params()
    assert counted_macs(small, batch) == pytest.approx(4 * expected.macs(7))
    assert expected.macs(7) < 0.55 * before.macs(7)
    if ranking == "local":
        assert small.shape == expected


def test_counts_follow_the_schedule_and_a_unit_that_comes_to_matter_comes_back() -> None:
    model = lively(depth=3)
    method = StructuredPlaton(keep=0.25, every=2, initial=0, final=4)
    run, schedule = method.build(model, PLAN), method.schedule(N_STEPS)
    up, down = model.layers[0].ffn.up.weight, model.layers[0].ffn.down.weight
    is_masked = {}
    for step in range(1, N_STEPS + 1):
        draw = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        for row in (up.grad[3], down.grad[:, 3]):
            row.mul_(1e-4 if step <= 4 else 100)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01 * parameter.grad
        run.after_step(step)
        share = schedule.share(step) if schedule.masks(step) else 0
        assert n_masked(model) == (round(share * 12), round(share * 96))
        is_masked[step] = bool(masked_units(model)[1][0][3])
    assert is_masked[4]
    assert not any(is_masked[step] for step in range(8, N_STEPS + 1))
    assert n_masked(model) == (9, 72)


def test_a_masked_unit_keeps_a_gradient(batch: Batch) -> None:
    model = lively(depth=2)
    run = StructuredPlaton(keep=0.0, every=1, initial=0, final=0).build(model, replace(PLAN, n_steps=1))
    run.after_step(1)
    model(batch).logits.square().sum().backward()
    for layer in model.layers:
        for matrix in (layer.attention.output.weight, layer.ffn.down.weight):
            assert int(matrix.count_nonzero()) == 0
            assert float(matrix.grad.abs().max()) > 0


def test_a_layer_that_loses_everything_keeps_its_output_bias(batch: Batch) -> None:
    model = lively(depth=2)
    with torch.no_grad():
        for matrix in (model.layers[0].attention.output.weight, model.layers[0].ffn.up.weight):
            matrix.mul_(1e-3)
        for part in ("query", "key", "value"):
            model.layers[0].attention.get_submodule(part).weight.mul_(1e-3)
        model.layers[0].ffn.down.weight.mul_(1e-3)
    run = StructuredPlaton(keep=0.5, score="magnitude", final=0).build(model, replace(PLAN, n_steps=1))
    run.after_step(1)
    masked = model(batch).logits
    small = run.finish(model)
    assert [(layer.heads, layer.ffn) for layer in small.shape.layers] == [(0, 0), (4, 32)]
    torch.testing.assert_close(small(batch).logits, masked, atol=1e-5, rtol=1e-5)


def test_all_units_stay_at_keep_1(batch: Batch) -> None:
    model = lively(depth=2)
    logits = model(batch).logits
    run = StructuredPlaton(keep=1.0).build(model, replace(PLAN, n_steps=1))
    run.after_step(1)
    small = run.finish(model)
    assert small.shape == model.shape
    assert torch.equal(small(batch).logits, logits)


def test_a_distilled_student_is_as_small_as_forecast(tmp_path: Path) -> None:
    task = tiny_task()
    models = run_stages(STUDENT, task, tmp_path)
    stage = Distil(
        objectives=(Labels(),),
        hooks=(StructuredPlaton(every=2, initial=0.0, final=0.4),),
        epochs=2,
        batch_size=8,
    )
    made = stage.run(models, tiny_context(tmp_path, task, "basics:Distil"))
    before, after = shape_of(models["student"]), shape_of(made["student"])
    _, sizes = stage.cost(Sizes(100, 12.0, before, before))
    assert sizes.student is not None
    assert sizes.student.params() == after.params() < before.params()
    assert sizes.student.macs(12) == pytest.approx(after.macs(12))
    assert made["student"].tokenizer == models["student"].tokenizer
    assert shape_of(Rewind().run(made, tiny_context(tmp_path, task, "basics:Rewind"))["student"]) == before
    more = Distil(objectives=(Labels(),), epochs=1, batch_size=8)
    again = more.run(made, tiny_context(tmp_path, task, "basics:Distil", folder="again"))
    assert shape_of(again["student"]) == after


def test_only_the_structured_hook_changes_sizes() -> None:
    assert isinstance(StructuredPlaton(), ReshapingHook)
    assert not isinstance(Platon(), ReshapingHook)
    sizes = kit_sizes()
    assert Distil(hooks=(Platon(),)).cost(sizes)[1] == sizes
    unknown = replace(sizes, student=None)
    assert StructuredPlaton().sizes_after(unknown) == unknown


def test_a_loop_prunes_in_one_way() -> None:
    """Zeros that a hook promises would be counted among units that another one cuts, or be another one's too."""
    hooks = (Platon(keep=0.2), MagnitudePruning(), StructuredPlaton(), StructuredPlaton(score="magnitude"))
    assert [isinstance(hook, MaskingHook) for hook in hooks] == [True, True, False, False]
    assert Platon(keep=0.2).sparsity == pytest.approx(MagnitudePruning(sparsity=0.8).sparsity)
    for pair in itertools.permutations(hooks, 2):
        names = ", ".join(f"'{type(hook).__name__}'" for hook in pair)
        with pytest.raises(SpecError) as caught:
            Distil(hooks=pair)
        assert str(caught.value) == f"Distil.hooks must be a list with at most one that prunes, but got [{names}]."


def test_experts_cannot_be_cut(tmp_path: Path) -> None:
    experts = ToExperts(experts=2, width=0.5, batch_size=8)
    distil = Distil(hooks=(StructuredPlaton(),))
    with pytest.raises(SpecError, match=r"^platon:StructuredPlaton in .* cannot run where hash_routed holds"):
        Pipeline((TEACHER, experts, distil)).check(frozenset({"text", "classification"}))
    Pipeline((TEACHER, experts, Distil(hooks=(Platon(),)))).check(frozenset({"text", "classification"}))
    Pipeline((*STUDENT, distil, replace(experts, of="student"), Distil())).check(frozenset({"text", "classification"}))
    models = run_stages((TEACHER, experts), tiny_task(), tmp_path)
    with pytest.raises(SpecError, match=r"dense feed-forward networks; layer 0 has moebert:HashExperts"):
        StructuredPlaton().build(build(models["student"]), PLAN)
    with pytest.raises(SpecError, match=r"^only encoders have heads and neurons to cut"):
        StructuredPlaton().build(torch.nn.Linear(2, 2), PLAN)


def test_local_forecast_rounds_in_each_layer() -> None:
    layers = (LayerShape(6, 4, 96), LayerShape(5, 4, 50), LayerShape(0, 4, 0))
    shape = EncoderShape(100, 64, 24, layers, labels=2)
    after = StructuredPlaton(keep=0.3, ranking="local").sizes_after(Sizes(1, 1.0, shape, shape)).student
    assert after is not None
    assert [(layer.heads, layer.ffn) for layer in after.layers] == [(2, 29), (1, 15), (0, 0)]
