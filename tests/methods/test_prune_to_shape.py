"""Students cut out of the teacher by importance: which parts stay, how many, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autokd.contracts import Models, Sizes, Slot
from autokd.core.errors import Paused, SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.core.task import Task
from autokd.engine.batches import scoring_batches
from autokd.methods.basics import PruneToShape
from autokd.methods.basics.importance import Importance, importance, scores_of_batch
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.shaping import best, best_of_all, best_of_each
from autokd.methods.moebert import ToExperts
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import TEACHER, Case, check_all, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task
from tests.methods.stark_parts import changed
from tests.models.lively import lively, padded_batch

STAGE = "basics:PruneToShape"
WHOLE = PruneToShape(layers=1.0, hidden=1.0, heads=1.0, ffn=1.0, batch_size=8)
BERT = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)


def teacher(root: Path, task: Task | None = None, depth: int = 3) -> Slot:
    """A random network whose every weight matters."""
    return lively(tiny_context(root, task or tiny_task(), STAGE, depth=depth).base("auto", None))


def pruned(source: Slot, root: Path, stage: PruneToShape, task: Task | None = None, **changes: Any) -> Slot:
    ctx = tiny_context(root, task or tiny_task(), STAGE, folder="prune", **changes)
    return stage.run(Models({"teacher": source, "dense_teacher": source}), ctx)["student"]


def scores(source: Slot, root: Path, task: Task | None = None, batch_size: int = 8) -> Importance:
    ctx = tiny_context(root, task or tiny_task(), STAGE, folder=f"scores-{batch_size}")
    return importance(source, ctx.rows("train", source), batch_size, ctx)


def zeroed(slot: Slot, *names: str, at: Callable[[Tensor], Tensor] = lambda value: value) -> Slot:
    """The slot with zeros where ``at`` looks at these weights."""
    made = {}
    for name in names:
        made[name.replace(".", "__")] = value = slot.weights[name].clone()
        at(value).zero_()
    return changed(slot, **made)


def logits(slot: Slot, **masks: list[Tensor]) -> Tensor:
    return build(slot)(padded_batch(shape_of(slot).vocabulary), **masks).logits.detach()


# How much stays.


def test_all_of_it_is_the_teacher_exactly(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    for stage in (WHOLE, replace(WHOLE, widths="per_layer"), replace(WHOLE, rank="leading")):
        student = pruned(source, tmp_path, stage)
        assert student.content == source.content
        assert torch.equal(logits(student), logits(source))


@pytest.mark.parametrize("widths", ["uniform", "per_layer"])
@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.67, 0.5, 0.5, 0.25), (2, 8, 4, 16)),
        ((1.0, 0.8, 0.75, 0.9), (3, 13, 9, 87)),
        ((0.01, 0.01, 0.01, 0.01), (1, 1, 1, 1)),
        ((1.0, 1.0, 0.01, 0.01), (3, 16, 3, 3)),
    ],
)
def test_counts_are_exact_and_the_forecasts(
    widths: str, shares: tuple[float, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    source = teacher(tmp_path)
    stage = PruneToShape(*shares, widths=widths, batch_size=8)
    found = shape_of(pruned(source, tmp_path, stage))
    heads, neurons = ([getattr(layer, name) for layer in found.layers] for name in ("heads", "ffn"))
    assert (found.depth, found.hidden, sum(heads), sum(neurons)) == expected
    assert min(heads) >= 1
    assert min(neurons) >= 1
    told = stage.cost(Sizes(48, 9.0, shape_of(source)))[1]
    assert told.student == told.student_init
    if widths == "uniform":
        assert told.student == found
    assert (told.student.params(), told.student.macs(9.0)) == (found.params(), found.macs(9.0))


def test_layers_may_come_out_of_different_widths(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    weak = zeroed(source, "layers.1.ffn.down.weight", at=lambda value: value[:, 1:])
    stage = replace(WHOLE, ffn=0.5, widths="per_layer")
    widths = [layer.ffn for layer in shape_of(pruned(weak, tmp_path, stage)).layers]
    assert widths[1] == 1
    assert sum(widths) == 48
    assert [layer.ffn for layer in shape_of(pruned(weak, tmp_path, replace(stage, widths="uniform"))).layers] == [
        16
    ] * 3


def test_the_ranking_by_hand() -> None:
    few, many = torch.tensor([3.0, 0.0, 4.0]), torch.tensor([0.1, 0.1, 0.1, 0.1])  # to length 1: .6 0 .8, .5 each
    assert best(few, 2) == [0, 2]
    assert best(many, 3) == [0, 1, 2]
    assert best_of_each([few, many], 0.5) == [[0, 2], [0, 1]]
    assert best_of_all([few, many], 0.5) == [[0, 2], [0, 1]]
    assert best_of_all([few, many, few.new_zeros(0)], 0.7) == [[0, 2], [0, 1, 2], []]
    assert best_of_all([few * 1e6, many * 0], 0.7) == [[0, 1, 2], [0, 1]]
    assert best_of_all([few, many], 0.01) == [[2], [0]]


# Which parts stay.


def test_neurons_and_heads_that_do_nothing_go_first(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    idle = zeroed(source, "layers.0.ffn.down.weight", "layers.2.ffn.down.weight", at=lambda value: value[:, 5])
    idle = zeroed(idle, "layers.1.attention.output.weight", at=lambda value: value[:, 8:12])  # the third head of four
    found = scores(idle, tmp_path)
    assert [float(found.neurons[i][5]) for i in range(3)][::2] == [0.0, 0.0]
    assert float(found.heads[1][2]) == 0.0
    student = pruned(idle, tmp_path, replace(WHOLE, ffn=31 / 32, heads=0.75))
    rows = [n for n in range(32) if n != 5]
    assert torch.equal(student.weights["layers.0.ffn.up.weight"], idle.weights["layers.0.ffn.up.weight"][rows])
    kept = [c for c in range(16) if c not in range(8, 12)]
    name = "layers.1.attention.value.weight"
    assert torch.equal(student.weights[name], idle.weights[name][kept])


def test_a_channel_that_is_always_zero_goes_first(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    norms = ["embeddings.norm", *(f"layers.{i}.{part}.norm" for i in range(3) for part in ("attention", "ffn"))]
    names = [f"{norm}.{part}" for norm in norms for part in ("weight", "bias")]
    dead = zeroed(source, *names, at=lambda value: value[7])
    found = scores(dead, tmp_path).hidden
    assert float(found[7]) == 0.0
    assert found.argmin() == 7
    student = pruned(dead, tmp_path, replace(WHOLE, hidden=15 / 16))
    kept = [c for c in range(16) if c != 7]
    for name in ("embeddings.word.weight", "layers.0.attention.query.weight"):
        assert torch.equal(student.weights[name], dead.weights[name][:, kept])


def test_what_the_classifier_does_not_read_goes_first_whatever_the_channel_of_its_place_does(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    unread = zeroed(source, "classifier.weight", at=lambda value: value[:, 3])
    found = scores(unread, tmp_path)
    assert float(found.pooled[3]) == 0.0 < float(found.hidden[3])
    student = pruned(unread, tmp_path, replace(WHOLE, hidden=15 / 16))
    kept = [c for c in range(16) if c != 3]
    assert torch.equal(student.weights["classifier.weight"], unread.weights["classifier.weight"][:, kept])
    assert torch.equal(student.weights["pooler.bias"], unread.weights["pooler.bias"][kept])
    channels = [c for c in range(16) if c != int(found.hidden.argmin())]
    rows = unread.weights["pooler.weight"][kept]
    assert torch.equal(student.weights["pooler.weight"], rows[:, channels])


def test_a_layer_that_changes_nothing_goes_first(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    parts = [f"{part}.{kind}" for part in ("attention.output", "ffn.down") for kind in ("weight", "bias")]
    idle = zeroed(source, *(f"layers.1.{part}" for part in parts))
    norms = {f"layers.{i}.{part}.norm" for i, part in ((0, "ffn"), (1, "attention"), (1, "ffn"))}
    plain = {f"{norm}.weight".replace(".", "__"): torch.ones(16) for norm in norms}
    idle = changed(idle, **plain, **{f"{norm}.bias".replace(".", "__"): torch.zeros(16) for norm in norms})
    found = scores(idle, tmp_path).layers
    assert float(found[1]) == pytest.approx(0.0, abs=1e-3)
    assert float(found.min()) == float(found[1])
    student = pruned(idle, tmp_path, replace(WHOLE, layers=2 / 3))
    assert torch.equal(student.weights["layers.1.ffn.up.weight"], idle.weights["layers.2.ffn.up.weight"])
    torch.testing.assert_close(logits(student), logits(idle), atol=1e-5, rtol=1e-5)


def test_a_row_at_a_time_has_the_same_scores(tmp_path: Path) -> None:
    """And with them no padding: longer rows beside a row play no part."""
    source = teacher(tmp_path)
    together, alone = scores(source, tmp_path, batch_size=16), scores(source, tmp_path, batch_size=1)
    pairs = [(getattr(together, name), getattr(alone, name)) for name in ("layers", "hidden", "pooled")]
    pairs += [*zip(together.heads, alone.heads, strict=True), *zip(together.neurons, alone.neurons, strict=True)]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_stands_at_padding_plays_no_part(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    batch = padded_batch(shape_of(source).vocabulary)
    other = replace(batch, ids=torch.where(batch.mask == 1, batch.ids, batch.ids.flip(0)))
    assert not torch.equal(batch.ids, other.ids)
    model = build(source)
    for one, two in zip(scores_of_batch(model, batch), scores_of_batch(model, other), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("task", [tiny_task(), tiny_regression()], ids=["classes", "numbers"])
def test_scores_of_heads_and_neurons_are_gradients_of_masks(task: Task, tmp_path: Path) -> None:
    source = teacher(tmp_path, task)
    found, model = scores(source, tmp_path, task), build(source)
    sums = [torch.zeros(n) for n in (4, 4, 4, 32, 32, 32)]
    for batch in scoring_batches(tiny_context(tmp_path, task, STAGE).rows("train", source), 1):
        masks = [torch.ones(len(each), requires_grad=True) for each in sums]
        loss = task_loss(model(batch, head_masks=masks[:3], neuron_masks=masks[3:]).logits, batch)
        for total, gradient in zip(sums, torch.autograd.grad(loss, masks), strict=True):
            total += gradient.abs()
    for one, other in zip([*found.heads, *found.neurons], sums, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# What the student is.


@pytest.mark.parametrize("widths", ["uniform", "per_layer"])
def test_without_heads_and_neurons_it_is_the_masked_teacher(widths: str, tmp_path: Path) -> None:
    source = teacher(tmp_path)
    student = pruned(source, tmp_path, replace(WHOLE, heads=0.5, ffn=0.3, widths=widths))
    choose = best_of_each if widths == "uniform" else best_of_all
    found = scores(source, tmp_path)
    masks = {
        "head_masks": [torch.zeros(4).index_fill(0, torch.tensor(kept), 1) for kept in choose(found.heads, 0.5)],
        "neuron_masks": [torch.zeros(32).index_fill(0, torch.tensor(kept), 1) for kept in choose(found.neurons, 0.3)],
    }
    torch.testing.assert_close(logits(student), logits(source, **masks), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(student), logits(source), atol=1e-2)


def test_a_control_reads_no_data(tmp_path: Path) -> None:
    source = teacher(tmp_path)
    stage = PruneToShape(layers=2 / 3, hidden=0.5, rank="leading", widths="per_layer")
    student = pruned(source, tmp_path, stage, replace(tiny_task(), train=tiny_task().train.take([])))
    assert torch.equal(student.weights["layers.1.ffn.up.weight"], source.weights["layers.2.ffn.up.weight"][:16, :8])
    cost, told = stage.cost(Sizes(48, 9.0, shape_of(source)))
    assert (cost.macs, told.student) == (0.0, shape_of(student))


def test_a_pause_changes_nothing(tmp_path: Path) -> None:
    source, stage = teacher(tmp_path), PruneToShape(widths="per_layer", hidden=0.5, batch_size=8)
    whole = pruned(source, tmp_path, stage)
    left = iter([False, False, True])
    ctx = tiny_context(tmp_path, tiny_task(), STAGE, folder="paused", should_pause=lambda: next(left))
    with pytest.raises(Paused):
        stage.run(Models({"dense_teacher": source}), ctx)
    again = stage.run(Models({"dense_teacher": source}), replace(ctx, should_pause=lambda: False))
    assert again["student"].content == again["student_init"].content == whole.content


def test_few_rows_are_spread_over_all(tmp_path: Path) -> None:
    source, task = teacher(tmp_path), tiny_task()
    stage = PruneToShape(rows=5, batch_size=8)
    alone = task.with_train(task.train.take([0, 9, 19, 28, 38]))
    few = stage.run(Models({"dense_teacher": source}), tiny_context(tmp_path, task, STAGE))["student"]
    assert few.content == pruned(source, tmp_path, stage, alone).content
    costs = [replace(stage, rows=rows).cost(Sizes(48, 9.0, shape_of(source)))[0].macs for rows in (5, 48, 4096)]
    assert costs == pytest.approx([2 * rows * shape_of(source).macs(9.0) for rows in (5, 48, 48)])


@pytest.mark.parametrize("widths", ["uniform", "per_layer"])
def test_numbers_have_students_too(widths: str, tmp_path: Path) -> None:
    task = tiny_regression()
    source = teacher(tmp_path, task)
    student = pruned(source, tmp_path, PruneToShape(hidden=0.5, widths=widths, batch_size=8), task)
    assert bool(torch.isfinite(logits(student)).all())
    assert shape_of(student).labels == 1


def test_the_contract_holds_of_every_dimension_at_once(tmp_path: Path) -> None:
    stage = PruneToShape(layers=0.5, hidden=0.6, heads=0.5, ffn=0.4, widths="per_layer", batch_size=8)
    check_all(Case(stage, before=(TEACHER,)), tmp_path)


# What is refused.


@pytest.mark.parametrize("field", ["layers", "hidden", "heads", "ffn"])
@pytest.mark.parametrize("value", [0, 0.0, -0.5, 1.01, True, "half", None])
def test_shares_are_checked(field: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        PruneToShape(**{field: value})
    assert str(caught.value) == f"PruneToShape.{field} must be a number above 0 and at most 1, but got {value!r}."


@pytest.mark.parametrize("fields", [{"widths": "free"}, {"rank": "random"}, {"rows": 0}, {"batch_size": 1.5}])
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"PruneToShape.{next(iter(fields))} must be"):
        PruneToShape(**fields)


def test_experts_and_embeddings_as_wide_as_what_stays_are_refused(tmp_path: Path) -> None:
    stages = (ToExperts(experts=2, width=0.5, batch_size=8),)
    experts = run_stages(stages, tiny_task(), tmp_path, Models({"dense_teacher": teacher(tmp_path)}))["student"]
    told = r"dense feed-forward networks; layer 0 has moebert:HashExperts"
    with pytest.raises(SpecError, match=told):
        pruned(experts, tmp_path, WHOLE)
    with pytest.raises(SpecError, match=told):
        WHOLE.cost(Sizes(48, 9.0, shape_of(experts)))
    projected = replace(BERT, embedding=384)
    with pytest.raises(SpecError, match="both would be 384"):
        PruneToShape(hidden=0.5).cost(Sizes(48, 9.0, projected))
    assert PruneToShape(hidden=0.25).cost(Sizes(48, 9.0, projected))[1].student.embedding == 384
