"""Cosine, PKD and hidden cross-entropy: values by hand, padding, layer maps, projections, and training with them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autokd.contracts import Models, Objective, Outputs, Sizes
from autokd.core.errors import SpecError
from autokd.core.task import Task
from autokd.engine import losses
from autokd.engine.loop import LoopOptions, train
from autokd.engine.teacher import TeacherOutputs
from autokd.methods.basics import AdamW, Distil, HiddenMSE, Labels, Logits, Mixup
from autokd.methods.distiller import PKD, Cosine, HiddenCE
from autokd.methods.distiller.objectives import cosine_distance, hidden_cross_entropy, patient_distance
from autokd.methods.mi_alpha import MutualInformation
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from autokd.pipeline import Pipeline, task_facts
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
COMPARISONS = (cosine_distance, patient_distance, hidden_cross_entropy, losses.masked_mean_squared_error)
METHODS: tuple[type[Any], ...] = (HiddenMSE, Cosine, PKD, HiddenCE, MutualInformation)
MAPS = ("skip", "last", "emd")


def states(seed: int, width: int = 6) -> Tensor:
    return torch.randn(2, 4, width, generator=torch.Generator().manual_seed(seed))


def test_cosine_by_hand() -> None:
    one = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    other = torch.tensor([[[3.0, 0.0], [1.0, 1.0]]])
    mask = torch.ones(1, 2, dtype=torch.long)
    assert float(cosine_distance(one, other, mask)) == pytest.approx((0 + 1 - 0.5**0.5) / 2)


def test_patient_distance_is_two_minus_two_cosines_of_first_tokens() -> None:
    one, other = states(0), states(1)
    cosines = torch.cosine_similarity(one[:, 0], other[:, 0], dim=1)
    torch.testing.assert_close(patient_distance(one, other, MASK), (2 - 2 * cosines).mean())
    changed = other.clone()
    changed[:, 1:] += 5.0
    assert patient_distance(one, changed, MASK) == patient_distance(one, other, MASK)


def test_hidden_cross_entropy_by_hand() -> None:
    one, other = states(2), states(3)
    real = MASK.bool()
    p, q = other[real].softmax(1), one[real].log_softmax(1)
    torch.testing.assert_close(hidden_cross_entropy(one, other, MASK), -(p * q).sum(1).mean())


@pytest.mark.parametrize("compare", COMPARISONS)
def test_padding_plays_no_part_whatever_stands_there(compare: Any) -> None:
    one, other = states(4).requires_grad_(), states(5)
    broken = other.clone()
    broken[MASK == 0] = float("inf")
    value = compare(one, broken, MASK)
    assert value == compare(one, other, MASK)
    (gradient,) = torch.autograd.grad(value, one)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient[MASK == 0].abs().sum()) == 0


@pytest.mark.parametrize("compare", COMPARISONS)
def test_what_is_least_where_states_agree(compare: Any) -> None:
    one, other = states(6), states(7)
    same = float(compare(one, one, MASK))
    assert same < float(compare(one, other, MASK))
    assert (same == pytest.approx(0, abs=1e-6)) == (compare is not hidden_cross_entropy)
    scaled = float(compare(3 * one, one, MASK))
    assert (scaled == pytest.approx(0, abs=1e-6)) == (compare in (cosine_distance, patient_distance))
    shifted = float(compare(one + 2.0, one, MASK))  # a softmax over dimensions does not see a constant
    assert (shifted == pytest.approx(same, abs=1e-6)) == (compare is hidden_cross_entropy)


def outputs(hidden: dict[int, Tensor]) -> Outputs:
    return Outputs(torch.zeros(2, 2), MASK, hidden)


def term(method: Objective, models: Models, root: Path, task: Task | None = None) -> Any:
    return method.build(models, tiny_context(root, task or tiny_task(), "basics:Distil"))


@pytest.mark.parametrize(
    ("method", "compare"),
    [
        (Cosine, cosine_distance),
        (PKD, patient_distance),
        (HiddenCE, hidden_cross_entropy),
        (HiddenMSE, losses.masked_mean_squared_error),
    ],
)
def test_maps_add_up_what_pairs_lose(method: type[Any], compare: Any, tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=4, hidden=6, heads=2), "student": tiny_slot(2, depth=2, hidden=6)})
    ours, theirs = {s: states(s) for s in range(3)}, {t: states(10 + t) for t in range(5)}
    fields = {"reduction": "sum"} if method is HiddenMSE else {}

    def value(layers: str) -> float:
        made = term(method(layers=layers, **fields), models, tmp_path)
        assert (made.student_wants.hidden, made.teacher_wants.hidden) == ({0, 1, 2}, wanted[layers])
        return float(made(outputs(ours), outputs(theirs), None, None))

    wanted = {"skip": {0, 2, 4}, "last": {2, 3, 4}, "emd": {0, 1, 2, 3, 4}}
    cost = {(t, s): float(compare(ours[s], theirs[t], MASK)) for t in theirs for s in ours}
    assert value("skip") == pytest.approx(cost[0, 0] + cost[2, 1] + cost[4, 2], rel=1e-5)
    assert value("last") == pytest.approx(cost[2, 0] + cost[3, 1] + cost[4, 2], rel=1e-5)
    # Two student layers share four teacher layers: the best half for each.
    halves = [(i, j) for i in range(1, 5) for j in range(i + 1, 5)]
    rest = {(i, j): [k for k in range(1, 5) if k not in (i, j)] for i, j in halves}
    best = min(sum(cost[t, 1] for t in half) + sum(cost[t, 2] for t in rest[half]) for half in halves)
    assert value("emd") == pytest.approx(cost[0, 0] + best / 4, rel=1e-5)


def test_a_mean_divides_by_the_weights(tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=4, hidden=6, heads=2), "student": tiny_slot(2, depth=2, hidden=6)})
    ours, theirs = {s: states(s) for s in range(3)}, {t: states(10 + t) for t in range(5)}
    for layers, total in (("skip", 3), ("last", 3), ("emd", 2)):
        mean, whole = (
            float(
                term(HiddenMSE(layers=layers, reduction=r), models, tmp_path)(
                    outputs(ours), outputs(theirs), None, None
                )
            )
            for r in ("mean", "sum")
        )
        assert mean == pytest.approx(whole / total)


def test_under_transport_a_permuted_teacher_is_met_at_no_cost(tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=3, hidden=6, heads=2), "student": tiny_slot(2, depth=3, hidden=6)})
    ours = {s: states(s) for s in range(4)}
    theirs = {0: ours[0], 1: ours[3], 2: ours[1], 3: ours[2]}
    for method in (HiddenMSE(layers="emd"), Cosine(layers="emd"), PKD(layers="emd")):
        value = term(method, models, tmp_path)(outputs(ours), outputs(theirs), None, None)
        assert float(value) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("method", [Cosine(layers="emd"), PKD(layers="emd"), HiddenCE(layers="emd")])
def test_wider_teachers_are_met_by_a_projection_per_student_layer(method: Any, tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=3, hidden=24), "student": tiny_slot(2, depth=2)})
    made = term(method, models, tmp_path)
    assert [tuple(p.shape) for p in made.parameters()] == [(24, 16), (24,)] * 3
    student = outputs({s: states(s, 16) for s in range(3)})
    made(student, outputs({t: states(t, 24) for t in range(4)}), None, None).backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in made.parameters())
    sizes = Sizes(10, 7.0, shape_of(models["teacher"]), shape_of(models["student"]))
    assert method.cost(sizes) == 3 * 7 * 16 * 24


@pytest.mark.parametrize("layers", MAPS)
@pytest.mark.parametrize("method", METHODS)
def test_every_objective_trains_with_mixup_on_classes_and_on_numbers(
    method: type[Any], layers: str, tmp_path: Path
) -> None:
    for task in (tiny_task(n_train=16, n_valid=8, n_test=8), tiny_regression(16, 8, 8)):
        root = tmp_path / task.problem
        models = run_stages(STUDENT, task, root)
        stage = Distil(
            objectives=(method(layers=layers), Logits(form="mse")), augmenters=(Mixup(),), epochs=1, batch_size=8
        )
        Pipeline((*STUDENT, stage)).check(task_facts(task))
        made = stage.run(models, tiny_context(root, task, "basics:Distil"))
        assert made["student"].content != models["student"].content
        assert all(bool(torch.isfinite(value).all()) for value in made["student"].weights.values())


@pytest.mark.parametrize("layers", MAPS)
@pytest.mark.parametrize("method", METHODS)
def test_a_loss_falls_as_it_is_trained_on(method: type[Any], layers: str, tmp_path: Path) -> None:
    task = tiny_task(n_train=32)
    models = run_stages(STUDENT, task, tmp_path)
    ctx = tiny_context(tmp_path, task, "basics:Distil", folder="falling")
    rows = ctx.rows("train", models["student"])
    loss = method(layers=layers).build(models, ctx)
    seen: list[float] = []
    forward = loss.forward

    def noted(*args: Any) -> Tensor:
        value = forward(*args)
        seen.append(float(value.detach()))
        return value

    loss.forward = noted
    teacher = TeacherOutputs(models["teacher"], rows, ctx, loss.teacher_wants)
    train(
        build(models["student"]),
        [loss],
        AdamW(lr=5e-3),
        LoopOptions(epochs=20, batch_size=8),
        ctx,
        rows,
        teacher=teacher,
    )
    assert sum(seen[-8:]) < sum(seen[:8])


def test_whole_rows_can_be_compared_where_tokenizers_differ() -> None:
    assert "other_tokenizers" not in PKD().facts.forbids
    for method in (Cosine(), HiddenCE(), HiddenMSE()):
        assert "other_tokenizers" in method.facts.forbids


def test_a_weight_scales_what_the_loop_adds(tmp_path: Path) -> None:
    task = tiny_task(n_train=16)
    models = run_stages(STUDENT, task, tmp_path)

    def trained(*objectives: Objective) -> dict[str, str]:
        folder = "-".join(type(o).__name__ for o in objectives)
        stage = Distil(objectives=objectives, epochs=1, batch_size=8)
        return contents(stage.run(models, tiny_context(tmp_path, task, "basics:Distil", folder=folder)))

    assert trained(Labels(), Cosine(weight=0.0)) == trained(Labels())


def test_names_of_the_random_starts_are_distinct(tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, hidden=24), "student": tiny_slot(2)})
    firsts = [next(term(m, models, tmp_path).parameters()) for m in (HiddenMSE(), Cosine(), PKD(), HiddenCE())]
    assert not any(torch.equal(one, other) for one, other in pairwise(firsts))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fields", [{"layers": "first"}, {"weight": -1.0}])
def test_fields_are_checked(method: type[Any], fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"{method.__name__}.{next(iter(fields))} must be"):
        method(**fields)


@pytest.mark.parametrize("method", METHODS)
def test_last_layers_of_a_shallower_teacher_are_refused(method: type[Any], tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=1), "student": tiny_slot(2, depth=2)})
    with pytest.raises(SpecError, match="layers 'last' needs a teacher"):
        term(method(layers="last"), models, tmp_path)
    assert term(method(layers="emd"), models, tmp_path) is not None
