"""StarK's stage: exact and nested cuts, teachers that shrink, and rewinding that equals plain distillation."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from autokd.contracts import Models, Sizes, Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.batches import scoring_batches
from autokd.methods.basics import AdamW, Distil, Logits, Rewind
from autokd.methods.stark import SparsifyTeacher, unit_scores
from autokd.models.elastic import keep_units, lowest, matrices_of, shape_of
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import Case, check_all, contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task
from tests.methods.stark_parts import REGRESSION_TRIAL, STAGE, STUDENT, TRIAL, changed, sparsified

PLAIN = Distil(epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3))
GRANULARITIES = pytest.mark.parametrize("granularity", ["units", "weights"])
BASE = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
LARGE = EncoderShape(30522, 512, 1024, (LayerShape(16, 64, 4096),) * 24, labels=2)
# Heads and neurons cut at shares of 0, 0.1 ... 0.9.
COUNTS = {
    "base": (
        BASE,
        [0, 14, 29, 43, 58, 72, 86, 101, 115, 130],
        [0, 3686, 7373, 11059, 14746, 18432, 22118, 25805, 29491, 33178],
    ),
    "large": (
        LARGE,
        [0, 38, 77, 115, 154, 192, 230, 269, 307, 346],
        [0, 9830, 19661, 29491, 39322, 49152, 58982, 68813, 78643, 88474],
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((*STUDENT, PLAIN), tiny_task(), tmp_path_factory.mktemp("stark"))


def logits(slot: Slot, root: Path, **masks: list[torch.Tensor]) -> torch.Tensor:
    """Of the training rows, in one batch."""
    rows = tiny_context(root, tiny_task(), STAGE).rows("train", slot)
    return build(slot)(next(scoring_batches(rows, 48)), **masks).logits.detach()


def zeros(slot: Slot) -> list[torch.Tensor]:
    """Where the matrices of each layer hold zeros."""
    return [slot.weights[name] == 0 for names in matrices_of(shape_of(slot)) for name in names]


@pytest.mark.parametrize("model", COUNTS)
def test_counts_of_real_encoders(model: str) -> None:
    shape, *counts = COUNTS[model]
    sizes = Sizes(1000, 64.0, shape, shape.with_layers(shape.layers[:4]))
    draw = torch.Generator().manual_seed(0)
    scores = [[torch.rand(n, generator=draw) for _ in shape.layers] for n in (shape.layers[0].heads, shape.hidden * 4)]
    for tenth, expected in enumerate(zip(*counts, strict=True)):
        cut = tuple(sum(int(part.sum()) for part in lowest(group, tenth / 10)) for group in scores)
        assert cut == expected
        cost, after = SparsifyTeacher(share=tenth / 10).cost(sizes)
        layers = [(a.heads - b.heads, a.ffn - b.ffn) for a, b in zip(shape.layers, after.teacher.layers, strict=True)]
        assert tuple(map(sum, zip(*layers, strict=True))) == expected
        assert cost.known
        assert (after.dense_teacher, after.student) == (shape, sizes.student)


def test_a_pass_over_weights_costs_more_and_leaves_the_teacher_its_size() -> None:
    sizes = Sizes(1000, 64.0, BASE, BASE.with_layers(BASE.layers[:4]))
    units, _ = SparsifyTeacher().cost(sizes)
    weights, after = SparsifyTeacher(granularity="weights").cost(sizes)
    assert weights.macs - units.macs == pytest.approx(2 * 1000 * BASE.macs(64.0))
    assert after.teacher == BASE


def test_cut_units_make_the_teacher_smaller_and_nothing_else_changes(models: Models, tmp_path: Path) -> None:
    dense = shape_of(models["dense_teacher"])
    for share, n_heads, n_neurons in ((0.1, 7, 58), (0.5, 4, 32), (0.9, 1, 6)):
        made = sparsified(models, tmp_path, tiny_task(), share=share)
        shape = shape_of(made["teacher"])
        assert (sum(layer.heads for layer in shape.layers), sum(layer.ffn for layer in shape.layers)) == (
            n_heads,
            n_neurons,
        )
        assert sum(value.numel() for value in made["teacher"].weights.values()) == shape.params() < dense.params()
        forecast = SparsifyTeacher(share=share).cost(Sizes(48, 9.0, dense, dense))[1].teacher
        assert forecast.macs(9) == shape.macs(9) < dense.macs(9)
        others = {name: content for name, content in contents(models).items() if name != "teacher"}
        assert {name: content for name, content in contents(made).items() if name != "teacher"} == others


def test_zeroed_weights_are_exact_and_stay_where_they_are(models: Models, tmp_path: Path) -> None:
    dense = models["dense_teacher"]
    n = sum(part.numel() for part in zeros(dense))
    for share in (0.1, 0.37, 0.9):
        sparse = sparsified(models, tmp_path, tiny_task(), share=share, granularity="weights")["teacher"]
        gone = zeros(sparse)
        assert sum(int(part.sum()) for part in gone) == round(share * n)
        assert shape_of(sparse) == shape_of(dense)
        matrices = {name for names in matrices_of(shape_of(dense)) for name in names}
        for name, value in sparse.weights.items():
            kept = value != 0 if name in matrices else torch.ones_like(value, dtype=torch.bool)
            assert torch.equal(value[kept], dense.weights[name][kept])


def test_smaller_cuts_lie_inside_larger_ones(models: Models, tmp_path: Path) -> None:
    shares = (0.1, 0.2, 0.5, 0.8)
    weights = [
        zeros(sparsified(models, tmp_path, tiny_task(), share=share, granularity="weights")["teacher"])
        for share in shares
    ]
    for few, many in pairwise(weights):
        assert all(bool((a <= b).all()) for a, b in zip(few, many, strict=True))
    neurons = [sparsified(models, tmp_path, tiny_task(), share=share)["teacher"].weights for share in shares]
    for i in range(2):
        rows = [{tuple(row) for row in held[f"layers.{i}.ffn.up.weight"].tolist()} for held in neurons]
        assert all(more >= fewer for more, fewer in pairwise(rows))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_cut_teacher_is_the_masked_one(models: Models, tmp_path: Path, share: float) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), STAGE)
    scores = unit_scores(models, ctx, 0.5, 2.0, 8)
    heads, neurons = ([(~cut).float() for cut in lowest(part, share)] for part in scores)
    sparse = sparsified(models, tmp_path, tiny_task(), share=share)["teacher"]
    masked = logits(models["dense_teacher"], tmp_path, head_masks=heads, neuron_masks=neurons)
    torch.testing.assert_close(logits(sparse, tmp_path), masked, atol=1e-5, rtol=1e-5)


def test_a_layer_that_is_emptied_keeps_its_output_bias_and_teaches(models: Models, tmp_path: Path) -> None:
    dense = models["dense_teacher"]
    names = ("layers.0.ffn.down.weight", "layers.0.attention.output.weight")
    idle = changed(dense, **{name.replace(".", "__"): torch.zeros_like(dense.weights[name]) for name in names})
    sparse = sparsified(models.with_slots(dense_teacher=idle), tmp_path, tiny_task(), share=0.5)
    layers = shape_of(sparse["teacher"]).layers
    assert [(layer.heads, layer.ffn) for layer in layers] == [(0, 0), (4, 32)]
    torch.testing.assert_close(logits(sparse["teacher"], tmp_path), logits(idle, tmp_path), atol=1e-6, rtol=1e-6)
    taught = run_stages((Rewind(), PLAIN), tiny_task(), tmp_path, sparse)
    assert taught["student"].content != models["student"].content


@GRANULARITIES
def test_a_dense_teacher_may_come_without_heads_in_a_layer(models: Models, tmp_path: Path, granularity: str) -> None:
    every = [torch.ones(32, dtype=torch.bool)] * 2
    thin = keep_units(models["dense_teacher"], [torch.zeros(4, dtype=torch.bool), torch.arange(4) > 1], every)
    cut = sparsified(models.with_slots(dense_teacher=thin), tmp_path, tiny_task(), share=0.5, granularity=granularity)
    layers = shape_of(cut["teacher"]).layers
    assert [layer.heads for layer in layers] == ([0, 1] if granularity == "units" else [0, 2])


@GRANULARITIES
def test_a_little_cut_moves_the_teacher_less_than_a_large_one(models: Models, tmp_path: Path, granularity: str) -> None:
    dense = logits(models["dense_teacher"], tmp_path)

    def moved(share: float) -> float:
        made = sparsified(models, tmp_path, tiny_task(), share=share, granularity=granularity)
        return float((logits(made["teacher"], tmp_path) - dense).abs().mean())

    assert moved(0.0) == 0.0
    assert 0 < moved(0.1) < moved(0.9)


@GRANULARITIES
def test_labels_in_any_order_leave_the_cut_alone_where_they_play_no_part(
    models: Models, tmp_path: Path, granularity: str
) -> None:
    task = tiny_task()
    order = torch.randperm(48, generator=torch.Generator().manual_seed(2)).tolist()
    mixed = task.with_train(replace(task.train, labels=tuple(task.train.labels[i] for i in order)))

    def cut(task, balance: float, name: str) -> str:
        fields = {"share": 0.5, "balance": balance, "granularity": granularity}
        return sparsified(models, tmp_path / name, task, **fields)["teacher"].content

    assert cut(mixed, 0.0, "mixed") == cut(task, 0.0, "plain")
    assert cut(mixed, 1.0, "mixed") != cut(task, 1.0, "plain")


@GRANULARITIES
def test_at_sparsity_zero_it_equals_plain_distillation_exactly(
    models: Models, tmp_path: Path, granularity: str
) -> None:
    task, fields = tiny_task(), {"granularity": granularity}
    dense = sparsified(models, tmp_path, task, share=0.0, **fields)
    assert dense["teacher"].content == models["dense_teacher"].content
    again = run_stages((Rewind(), PLAIN), task, tmp_path / "again", dense)
    assert again["student"].content == models["student"].content
    half = sparsified(models, tmp_path, task, share=0.5, **fields)
    sparse = run_stages((Rewind(), PLAIN), task, tmp_path / "half", half)
    assert sparse["student"].content != models["student"].content
    on = run_stages((PLAIN,), task, tmp_path / "on", half)
    assert on["student"].content not in (sparse["student"].content, models["student"].content)


@GRANULARITIES
def test_regression_from_the_teacher_to_the_rewound_student(tmp_path: Path, granularity: str) -> None:
    task = tiny_regression()
    cut = SparsifyTeacher(share=0.5, granularity=granularity, batch_size=8)
    last = Distil(objectives=(Logits(form="mse"),), epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3))
    before = run_stages((*STUDENT, REGRESSION_TRIAL), task, tmp_path / "before")
    after = run_stages((cut, Rewind(), last), task, tmp_path / "after", before)
    assert after["teacher"].content != before["teacher"].content
    assert after["student"].content != before["student"].content
    assert all(bool(torch.isfinite(value).all()) for value in after["student"].weights.values())


@pytest.mark.parametrize("trial", [TRIAL, replace(TRIAL, objectives=(Logits(),))])
def test_weights_keep_the_contract_too(trial: Distil, tmp_path: Path) -> None:
    check_all(Case(SparsifyTeacher(granularity="weights", batch_size=8), before=(*STUDENT, trial)), tmp_path)


@pytest.mark.parametrize(
    "fields", [{"share": 1.0}, {"balance": 2}, {"temperature": 0}, {"granularity": "rows"}, {"batch_size": 0}]
)
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"SparsifyTeacher.{next(iter(fields))} must be"):
        SparsifyTeacher(**fields)
