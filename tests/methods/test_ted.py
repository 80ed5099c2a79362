"""TED: the identities of its loss, whose gradients go where, filters that end with the networks they came from."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autokd.contracts import Batch, Models, Outputs, Sizes, Stage
from autokd.core.errors import Paused, SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine import losses
from autokd.engine.batches import scoring_batches
from autokd.methods.adashift import AdaShift
from autokd.methods.basics import (
    AdamW,
    Distil,
    FineTuneTeacher,
    Labels,
    Logits,
    MagnitudePruning,
    Mixup,
    Rewind,
    TruncateLayers,
)
from autokd.methods.mi_alpha import MutualInformation
from autokd.methods.stark import SparsifyTeacher
from autokd.methods.ted import FilteredHidden, LearnFilters, ProjectedHidden
from autokd.methods.ted.filters import SLOT, FilterPair, FilterShape, filter_pairs, shape_between, shape_in
from autokd.methods.ted.learn import FilterTerm, TaskHead
from autokd.methods.ted.objectives import LayerTerm
from autokd.models.elastic import shape_of
from autokd.models.linear import Linear, initialise
from autokd.models.slots import build, load_slot, save_slot
from autokd.models.tiny import tiny_slot
from autokd.pipeline import Pipeline
from autokd.testing.context import tiny_context
from autokd.testing.methods import contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

FAST = AdamW(lr=3e-3)
START = (
    FineTuneTeacher(epochs=15, batch_size=8, optimizer=AdamW(lr=1e-2)),
    TruncateLayers(keep=1),
    Distil(objectives=(Labels(),), epochs=2, batch_size=8, optimizer=FAST),
)
LEARN = LearnFilters(epochs=2, batch_size=8)
PAPERS = (Labels(), Logits(weight=20.0), FilteredHidden(weight=100.0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((*START, LEARN), tiny_task(), tmp_path_factory.mktemp("ted"))


def keep_all(value: Tensor, rate: float) -> Tensor:
    return value


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def outputs(*hidden: Tensor, mask: Tensor | None = None) -> Outputs:
    batch, length = hidden[0].shape[:2]
    mask = torch.ones(batch, length) if mask is None else mask
    return Outputs(torch.zeros(batch, 2), mask, dict(enumerate(hidden)))


def linear(inputs: int, width: int, seed: int) -> Linear:
    made = Linear(inputs, width).double()
    with torch.no_grad():
        made.weight.copy_(drawn(width, inputs, seed=seed))
        made.bias.copy_(drawn(width, seed=seed + 100))
    return made


def term(teacher: Sequence[nn.Module], student: Sequence[nn.Module], over: str = "tokens") -> LayerTerm:
    return LayerTerm([(i, i) for i in range(len(teacher))], teacher, student, 1.0, over)


def value(made: LayerTerm, student: Outputs, teacher: Outputs) -> float:
    return float(made(student, teacher, None, keep_all).detach())


TEACHER, STUDENT = drawn(4, 5, 8, seed=1), drawn(4, 5, 6, seed=2)


def test_an_identity_as_the_teachers_filter_is_layer_wise_distillation() -> None:
    identity, student = Linear(8, 8).double(), linear(6, 8, 3)
    with torch.no_grad():
        identity.weight.copy_(torch.eye(8))
    filtered = value(term([identity], [student]), outputs(STUDENT), outputs(TEACHER))
    plain = value(term([nn.Identity()], [student]), outputs(STUDENT), outputs(TEACHER))
    assert filtered == pytest.approx(plain, abs=1e-6)
    assert plain == pytest.approx(float((student(STUDENT) - TEACHER).square().mean().detach()), rel=1e-6)


def test_what_the_teachers_filter_does_not_see_costs_nothing() -> None:
    keep, student = linear(8, 3, 4), linear(6, 3, 5)
    unseen = torch.linalg.svd(keep.weight.detach()).Vh[3:].sum(0)
    assert float((keep.weight.detach() @ unseen).abs().max()) < 1e-9
    before = value(term([keep], [student]), outputs(STUDENT), outputs(TEACHER))
    after = value(term([keep], [student]), outputs(STUDENT), outputs(TEACHER + 50 * unseen))
    assert after == pytest.approx(before, rel=1e-5)
    plain = term([nn.Identity()], [linear(6, 8, 5)])
    moved = value(plain, outputs(STUDENT), outputs(TEACHER + 50 * unseen))
    assert moved > 2 * value(plain, outputs(STUDENT), outputs(TEACHER))


def test_a_rotation_of_both_sides_changes_nothing() -> None:
    teacher, student = linear(8, 4, 6), linear(6, 4, 7)
    before = value(term([teacher], [student]), outputs(STUDENT), outputs(TEACHER))
    rotation = torch.linalg.qr(drawn(4, 4, seed=8)).Q
    with torch.no_grad():
        for part in (teacher, student):
            part.weight.copy_(rotation @ part.weight)
            part.bias.copy_(rotation @ part.bias)
    assert value(term([teacher], [student]), outputs(STUDENT), outputs(TEACHER)) == pytest.approx(before, rel=1e-6)


def test_the_loss_is_zero_exactly_where_all_states_agree() -> None:
    keep = linear(8, 4, 9)
    made = term([keep], [keep])
    assert value(made, outputs(TEACHER), outputs(TEACHER)) == pytest.approx(0.0, abs=1e-12)
    other = TEACHER.clone()
    other[3, 4, 7] += 0.01
    assert value(made, outputs(other), outputs(TEACHER)) > 1e-9


def test_the_mean_over_layers_is_the_sum_by_their_number() -> None:
    teachers, students = [linear(8, 4, i) for i in range(3)], [linear(6, 4, 10 + i) for i in range(3)]
    whole = value(term(teachers, students), outputs(*[STUDENT] * 3), outputs(*[TEACHER] * 3))
    alone = [value(term([t], [s]), outputs(STUDENT), outputs(TEACHER)) for t, s in zip(teachers, students, strict=True)]
    assert 3 * whole == pytest.approx(sum(alone), rel=1e-6)


def test_padding_does_not_count_whatever_stands_there() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    teacher, student = TEACHER.clone(), STUDENT.clone()
    teacher[mask == 0], student[mask == 0] = float("nan"), 1e6
    made = term([linear(8, 4, 1)], [linear(6, 4, 2)])
    clean = value(made, outputs(STUDENT, mask=mask), outputs(TEACHER, mask=mask))
    assert value(made, outputs(student, mask=mask), outputs(teacher, mask=mask)) == clean
    over = term([linear(8, 4, 1)], [linear(6, 4, 2)], "positions")
    assert value(over, outputs(STUDENT, mask=mask), outputs(TEACHER, mask=mask)) == pytest.approx(clean * 11 / 20)
    whole = term([linear(8, 4, 1)], [linear(6, 4, 2)])
    assert value(over, outputs(STUDENT), outputs(TEACHER)) == value(whole, outputs(STUDENT), outputs(TEACHER))


def test_pairs_of_layers() -> None:
    assert filter_pairs(12, 6) == ((2, 1), (4, 2), (6, 3), (8, 4), (10, 5), (12, 6))
    assert filter_pairs(12, 12) == tuple((i, i) for i in range(1, 13))
    assert [t for t, _ in filter_pairs(6, 4)] == [1, 3, 4, 6]
    for every in (1, 2, 3, 4, 6, 12):
        assert len(filter_pairs(12, 12, every)) == 12 // every
    assert filter_pairs(2, 3) == ((1, 2), (2, 3))  # no filter reads the teacher's embeddings
    with pytest.raises(SpecError, match=r"every 3-th layer .* it has 2"):
        filter_pairs(12, 2, 3)
    with pytest.raises(SpecError, match=r"every 2-th of 3 student layers find none of the teacher's 1 to follow"):
        filter_pairs(1, 3, 2)


def test_counts_of_the_papers_filters() -> None:
    teacher = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
    student = replace(teacher, hidden=384)
    with torch.device("meta"):
        pair = FilterPair(shape_between(teacher, student))
    counts = [sum(p.numel() for p in bank.parameters()) for bank in (pair.teacher, pair.student)]
    assert counts == [7_087_104, 3_548_160]


# The first stage.


def first_stage(n_outputs: int = 2) -> tuple[FilterTerm, Outputs, Batch]:
    """Three layers of filters and heads over drawn states, and a batch of four rows."""
    filters = nn.ModuleList(Linear(8, 6) for _ in range(3))
    heads = nn.ModuleList(TaskHead(6, n_outputs, 0.1) for _ in range(3))
    made = FilterTerm((0, 1, 2), filters, heads)
    initialise(made, 0)
    labels = torch.tensor([0, 1, 1, 0]) if n_outputs == 2 else torch.tensor([0.5, 1.0, 2.0, float("nan")])
    empty = torch.zeros(4, 5, dtype=torch.int64)
    states = [drawn(4, 5, 8, seed=i).float() for i in range(3)]
    return made, outputs(*states), Batch(empty, empty, empty + 1, labels, torch.arange(4))


def test_a_layers_filter_depends_on_its_own_loss_alone() -> None:
    made, seen, batch = first_stage()
    parts = made.losses(seen, batch, keep_all)
    mean = made(seen, None, batch, keep_all)
    assert mean.item() == pytest.approx(sum(float(part.detach()) for part in parts) / 3)
    for scales in ((1.0, 1.0, 1.0), (1.0, 50.0, 0.0)):
        made.zero_grad()
        sum(s * loss for s, loss in zip(scales, made.losses(seen, batch, keep_all), strict=True)).backward()
        found = made.filters[0].weight.grad
        expected = torch.autograd.grad(made.losses(seen, batch, keep_all)[0], made.filters[0].weight)[0]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_filters_learn_from_the_first_token_only(n_outputs: int) -> None:
    made, seen, batch = first_stage(n_outputs)
    loss = float(made(seen, None, batch, keep_all).detach())
    elsewhere = {
        i: torch.cat([state[:, :1], torch.full_like(state[:, 1:], torch.nan)], 1) for i, state in seen.hidden.items()
    }
    assert float(made(replace(seen, hidden=elsewhere), None, batch, keep_all).detach()) == loss


def test_only_filters_and_heads_train_and_they_get_better(models: Models, tmp_path: Path, monkeypatch) -> None:
    seen: list[float] = []
    forward = FilterTerm.forward

    def noted(self: FilterTerm, *arguments: Any) -> Tensor:
        loss = forward(self, *arguments)
        seen.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(FilterTerm, "forward", noted)
    task = tiny_task()
    start = models.without(SLOT)
    stage = LearnFilters(epochs=6, batch_size=8, head_dropout=0.0, optimizer=AdamW(lr=1e-2))
    made = stage.run(start, tiny_context(tmp_path, task, "ted:LearnFilters"))
    assert {name: slot for name, slot in contents(made).items() if name != SLOT} == contents(start)
    teacher, student = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    for side in (teacher, student):
        assert len(side) == 36
        assert sum(side[-6:]) < 0.7 * sum(side[:6])


def test_filters_are_a_value_like_any_other(models: Models, tmp_path: Path) -> None:
    save_slot(models[SLOT], tmp_path / "filters")
    again = load_slot(tmp_path / "filters")
    assert again.content == models[SLOT].content
    assert shape_in(models) == FilterShape(((2, 1),), 16, 16, 16)
    pair = build(again)
    assert all(float(p.detach().std()) > 0 for p in pair.parameters())


@pytest.mark.parametrize("fields", [{"width": 5}, {"nonlinear": True}, {"width": 24, "nonlinear": True}])
def test_other_filters(models: Models, tmp_path: Path, fields) -> None:
    task = tiny_task()
    stages = (LearnFilters(epochs=1, batch_size=16, **fields), Distil(objectives=PAPERS, epochs=1, batch_size=16))
    made = run_stages(stages, task, tmp_path, models)
    assert shape_in(made).width == fields.get("width", 16)
    assert shape_in(made).nonlinear == ("nonlinear" in fields)
    assert made["student"].content != models["student"].content


def test_forecasts_count_filters_and_heads(models: Models, tmp_path: Path) -> None:
    """Forward products of both stages' terms, counted while they run, against the closed forms."""
    task, length = tiny_task(), 5
    stage = LearnFilters(width=12, nonlinear=True)
    made = stage.run(models, tiny_context(tmp_path, task, "ted:LearnFilters"))
    teacher, student = shape_of(models["teacher"]), shape_of(models["student"])
    cost, after = stage.cost(Sizes(100, float(length), teacher, student))
    assert cost.known
    objective = FilteredHidden()
    layer = objective.build(made, tiny_context(tmp_path, task, "basics:Distil"))
    taught = outputs(*(drawn(4, length, 16, seed=i).float() for i in range(3)))
    seen = outputs(*(state.requires_grad_() for state in (drawn(4, length, 16, seed=9 + i).float() for i in range(3))))
    counter = FlopCounterMode(display=False)
    with counter:
        layer(seen, taught, None, keep_all).backward()
    assert counter.get_total_flops() // 2 == 4 * 3 * objective.cost(after)  # there and back for four rows
    per_token = 16 * 16 + 16 * 12  # of one side's only filter
    assert objective.cost(after) * 3 == length * (3 + 1) * per_token
    assert FilteredHidden(train_filters=False).cost(after) * 3 == length * (2 + 1) * per_token
    assert ProjectedHidden().cost(after) == length * 16 * 16
    heads = nn.ModuleList([TaskHead(12, 2, 0.1)])
    first = FilterTerm((1,), layer.student_filters, heads)
    empty = torch.zeros(4, length, dtype=torch.int64)
    batch = Batch(empty, empty, empty + 1, torch.tensor([0, 1, 1, 0]), torch.arange(4))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        first(taught, None, batch, keep_all)
    per_row = counter.get_total_flops() // 2 // 4
    networks = teacher.macs(length) + stage.epochs * student.macs(length)
    assert cost.macs == pytest.approx(100 * (networks + stage.epochs * 3 * 2 * per_row))


# The second stage.


def batch_of(models: Models, root: Path) -> Batch:
    return next(scoring_batches(tiny_context(root, tiny_task(), "basics:Distil").rows("train", models["student"]), 16))


def test_gradients_reach_the_student_and_its_filters_only(models: Models, tmp_path: Path) -> None:
    batch = batch_of(models, tmp_path)
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil")
    student, teacher = build(models["student"]), build(models["teacher"]).requires_grad_(False)
    for trains in (True, False):
        made = FilteredHidden(train_filters=trains).build(models, ctx)
        taught = teacher(batch, made.teacher_wants)
        made(student(batch, made.student_wants), taught, batch, keep_all).backward()
        assert all(p.grad is None for p in made.teacher_filters.parameters())
        assert all((p.grad is not None and bool(p.grad.any())) == trains for p in made.student_filters.parameters())
        assert bool(student.layers[0].ffn.up.weight.grad.any())
        student.zero_grad()


def test_a_student_that_is_the_teacher_pays_for_the_task_alone(models: Models, tmp_path: Path) -> None:
    batch, ctx = batch_of(models, tmp_path), tiny_context(tmp_path, tiny_task(), "basics:Distil")
    twins = models.with_slots(student=models["teacher"])
    made = LEARN.run(twins, tiny_context(tmp_path, tiny_task(), "ted:LearnFilters"))
    network = build(made["teacher"])
    terms = [objective.build(made, ctx) for objective in PAPERS]
    layer = terms[2]
    assert isinstance(layer, LayerTerm)
    layer.student_filters.load_state_dict(layer.teacher_filters.state_dict())
    seen = network(batch, layer.student_wants | layer.teacher_wants)
    parts = [float((part(seen, seen, batch, keep_all) * part.weight).detach()) for part in terms]
    assert parts[0] > 0
    assert parts[1:] == [0.0, 0.0]


def student_after(models: Models, root: Path, *objectives: Any) -> str:
    stage = Distil(objectives=objectives, epochs=2, batch_size=8)
    made = stage.run(models, tiny_context(root, tiny_task(), "basics:Distil", folder=str(len(objectives))))
    return made["student"].content


def test_without_its_weights_it_is_plain_distillation_and_plain_fine_tuning(models: Models, tmp_path: Path) -> None:
    nothing = FilteredHidden(weight=0.0)
    plain = student_after(models, tmp_path / "a", Labels(), Logits())
    assert student_after(models, tmp_path / "b", Labels(), Logits(), nothing) == plain
    tuned = student_after(models, tmp_path / "c", Labels())
    assert student_after(models, tmp_path / "d", Labels(), Logits(weight=0.0), nothing) == tuned
    assert student_after(models, tmp_path / "e", *PAPERS) not in (plain, tuned)


def test_the_papers_divergence_at_a_high_temperature() -> None:
    student, teacher = drawn(7, 4, seed=1), drawn(7, 4, seed=2)
    gap = student - teacher
    centred = (gap - gap.mean(1, keepdim=True)).square().sum(1).mean()
    assert float(losses.kl_divergence(student, teacher, 100.0)) == pytest.approx(float(centred) / 8, rel=0.02)
    assert float(losses.kl_divergence(teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-7)


def test_projections_start_at_random_and_need_no_filters(models: Models, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil")
    made = ProjectedHidden().build(models.without(SLOT), ctx)
    again = ProjectedHidden().build(models.without(SLOT), ctx)
    assert made.student_wants.hidden == {1}
    assert made.teacher_wants is not None
    assert made.teacher_wants.hidden == {2}
    for one, two in zip(made.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert 0.01 < float(next(made.student_filters.parameters()).detach().std()) < 0.03


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_sparse_teacher_filters_a_critic_pruning_mixup_and_adashift_go_together(
    models: Models, tmp_path: Path, precision: torch.dtype
) -> None:
    task = tiny_task()
    everything = Distil(
        objectives=(*PAPERS, MutualInformation(hidden=16, out=8)),
        hooks=(MagnitudePruning(begin=0.0, end=0.5, every=2),),
        augmenters=(Mixup(),),
        optimizer=AdaShift(lr=1e-2, keep=2),
        epochs=1,
        batch_size=8,
    )
    stages = (*START, SparsifyTeacher(share=0.3, batch_size=8), Rewind(), START[2], LEARN, everything)
    Pipeline(stages).check(frozenset({"text", "classification"}))
    before = run_stages(stages[3:7], task, tmp_path, models)
    whole = everything.run(before, tiny_context(tmp_path, task, "basics:Distil", folder="whole", precision=precision))
    assert whole["student"].content != before["student"].content
    made, calls = None, itertools.count(1)
    while made is None:
        ctx = tiny_context(
            tmp_path,
            task,
            "basics:Distil",
            folder="parts",
            precision=precision,
            should_pause=lambda: next(calls) % 3 == 0,
        )
        with contextlib.suppress(Paused):
            made = everything.run(before, ctx)
    assert next(calls) > 6
    assert contents(made) == contents(whole)


def test_regression_is_filtered_too(tmp_path: Path) -> None:
    task = tiny_regression()
    objectives = (Labels(), Logits(form="mse"), FilteredHidden())
    stages = (*START, LEARN, Distil(objectives=objectives, epochs=1, batch_size=8))
    Pipeline(stages).check(frozenset({"text", "regression"}))
    made = run_stages(stages, task, tmp_path)
    assert all(bool(torch.isfinite(value).all()) for value in made["student"].weights.values())
    with pytest.raises(SpecError, match=r"basics:Logits .* cannot run where regression holds"):
        Pipeline((*START, LEARN, Distil(objectives=PAPERS))).check(frozenset({"text", "regression"}))


# Pipelines.

FACTS = frozenset({"text", "classification"})
TEACH = {"use": "basics:FineTuneTeacher", "model": "m"}
CUT = {"use": "basics:TruncateLayers", "keep": 1}
TUNE = {"use": "basics:Distil", "objectives": [{"use": "basics:Labels"}], "epochs": 1, "batch_size": 16}
FILTERS = {"use": "ted:LearnFilters", "epochs": 1, "batch_size": 16}
LABELS, KL = {"use": "basics:Labels"}, {"use": "basics:Logits", "temperature": 2.0, "weight": 20.0}
FILTERED, PROJECTED = {"use": "ted:FilteredHidden", "weight": 100.0}, {"use": "ted:ProjectedHidden", "weight": 5.0}
SPARSIFY, REWIND = {"use": "stark:SparsifyTeacher"}, {"use": "basics:Rewind"}
EXPERTS = {"use": "moebert:ToExperts", "of": "student"}
LOADED = {"use": "basics:LoadStudent", "model": "s"}


def distil(*objectives: dict[str, Any]) -> dict[str, Any]:
    return {"use": "basics:Distil", "objectives": list(objectives), "epochs": 1, "batch_size": 16}


TED = distil(LABELS, KL, FILTERED)

# The paper's comparison with the same start for every arm, which its scripts lack.
CONTROLS = {
    "logits": [TEACH, CUT, TUNE, distil(LABELS, KL)],
    "layer_wise": [TEACH, CUT, TUNE, distil(LABELS, KL, PROJECTED)],
    "ted": [TEACH, CUT, TUNE, FILTERS, TED],
    "ted_filters_frozen": [TEACH, CUT, TUNE, FILTERS, distil(LABELS, KL, {**FILTERED, "train_filters": False})],
}


def pipeline(stages: Sequence[dict[str, Any]]) -> Pipeline:
    return Pipeline.from_json({"stages": list(stages)})


def test_controls_start_alike_and_end_apart(tmp_path: Path) -> None:
    task, ends, starts = tiny_task(), {}, set()
    for name, stages in CONTROLS.items():
        made = pipeline(stages)
        made.check(FACTS)
        before = run_stages(made.stages[:-1], task, tmp_path / name)
        starts.add(before["student"].content)
        ends[name] = run_stages(made.stages[-1:], task, tmp_path / f"{name}-end", before)["student"]
    assert len(starts) == 1
    assert len({slot.content for slot in ends.values()}) == len(CONTROLS)
    names = {frozenset(slot.weights) for slot in ends.values()}
    assert len(names) == 1  # nothing of filters or projections is left in a student


@pytest.mark.parametrize(
    "stages",
    [
        (TEACH, CUT, TUNE, FILTERS, TED),
        (TEACH, CUT, TUNE, FILTERS, distil(KL), TED),  # training leaves the layers where they are
        (TEACH, CUT, TUNE, FILTERS, TED, FILTERS, TED),
        (TEACH, CUT, distil(KL), SPARSIFY, TUNE, FILTERS, TED),
        (TEACH, CUT, EXPERTS, TUNE, FILTERS, TED),
        (TEACH, CUT, TUNE, FILTERS, TED, SPARSIFY, REWIND, TUNE, FILTERS, TED),
        (TEACH, CUT, distil(LABELS, PROJECTED)),
    ],
)
def test_legal_orders(stages) -> None:
    pipeline(stages).check(FACTS)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((TEACH, CUT, FILTERS, TED), r"stage 3 \(ted:LearnFilters\) needs trained_student; before it there are "),
        ((TEACH, CUT, TUNE, TED), r"ted:FilteredHidden in stage 4 \(basics:Distil\) needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, SPARSIFY, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, REWIND, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, CUT, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, EXPERTS, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, TEACH, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
        ((TEACH, CUT, TUNE, FILTERS, LOADED, TED), r"ted:FilteredHidden in stage 6 .* needs ted_filters; "),
    ],
)
def test_filters_end_with_the_networks_they_came_from(stages, message) -> None:
    with pytest.raises(SpecError, match=message):
        pipeline(stages).check(FACTS)


def test_filters_of_another_teacher_or_student_are_refused_at_work_too(models: Models, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil")
    sparse: Stage = SparsifyTeacher(share=0.5, batch_size=8)
    other = run_stages((sparse,), tiny_task(), tmp_path, models)
    wider = models.with_slots(student=run_stages((START[0],), tiny_task(), tmp_path / "w")["teacher"])
    FilteredHidden().build(wider, ctx)  # two layers have a first one too
    config = {**models[SLOT].config, "pairs": [[2, 3]]}
    deeper = models.with_slots(**{SLOT: replace(models[SLOT], config=config)})
    widths = [models.with_slots(student=tiny_slot(hidden=hidden, depth=3)) for hidden in (12, 24)]
    for broken in (other, deeper, *widths):
        with pytest.raises(SpecError, match="learn them again after it"):
            FilteredHidden().build(broken, ctx)


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (LearnFilters, {"width": 0}),
        (LearnFilters, {"every": 0}),
        (LearnFilters, {"head_dropout": 1.0}),
        (LearnFilters, {"epochs": 0}),
        (LearnFilters, {"nonlinear": 1}),
        (FilteredHidden, {"weight": -1}),
        (FilteredHidden, {"over": "rows"}),
        (FilteredHidden, {"train_filters": "no"}),
        (ProjectedHidden, {"every": 0}),
    ],
)
def test_fields_are_checked(cls, fields) -> None:
    with pytest.raises(SpecError, match=f"{cls.__name__}.{next(iter(fields))} must be"):
        cls(**fields)
