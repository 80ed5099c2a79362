"""StarK's scores: against another way of computing them, their symmetries, and what they may look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softmax

from autokd.contracts import Batch, Models, Outputs
from autokd.core.task import Task
from autokd.engine.batches import scoring_batches
from autokd.methods.stark import knowledgeable, student_friendly_loss, unit_scores, weight_scores
from autokd.models.elastic import matrices_of, shape_of
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_regression, tiny_task
from tests.methods.stark_parts import (
    REGRESSION_TRIAL,
    STAGE,
    STUDENT,
    TRIAL,
    by_activations,
    changed,
    lively,
    loss_values,
)

TASKS = {"classes": (tiny_task(), TRIAL), "regression": (tiny_regression(), REGRESSION_TRIAL)}


@pytest.fixture(scope="module", params=TASKS)
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Models, Task]:
    """A dense teacher with a trial student, of classes and of numbers."""
    task, trial = TASKS[request.param]
    return lively(run_stages((*STUDENT, trial), task, tmp_path_factory.mktemp("scores"))), task


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return lively(run_stages((*STUDENT, TRIAL), tiny_task(), tmp_path_factory.mktemp("models")))


def units(models: Models, root: Path, task: Task | None = None, balance=0.5, temperature=2.0, batch_size=8):
    """Scores of heads and neurons, one tensor per layer of each."""
    ctx = tiny_context(root, task or tiny_task(), STAGE, folder=f"units-{balance}-{len(list(root.iterdir()))}")
    heads, neurons = unit_scores(models, ctx, balance, temperature, batch_size)
    return [*heads, *neurons]


def weights(models: Models, root: Path, task: Task | None = None, balance=0.5, temperature=2.0, batch_size=8):
    ctx = tiny_context(root, task or tiny_task(), STAGE, folder=f"weights-{balance}-{len(list(root.iterdir()))}")
    return weight_scores(models, ctx, balance, temperature, batch_size)


@pytest.mark.parametrize(("balance", "kind"), [(1.0, "task"), (0.0, "kd")])
@pytest.mark.parametrize("batch_size", [8, 20, 48])
def test_units_score_what_their_activations_times_gradients_say(known, tmp_path: Path, balance, kind, batch_size):
    models, task = known
    expected = by_activations(models, task, tmp_path, 3.0, batch_size)
    found = units(models, tmp_path, task, balance, 3.0, batch_size)
    names = [f"{kind} {part} {i}" for part in ("heads", "neurons") for i in range(2)]
    for name, score in zip(names, found, strict=True):
        torch.testing.assert_close(score, expected[name] / expected[name].norm(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("balance", "kind"), [(1.0, "task"), (0.0, "kd")])
def test_weights_score_their_value_times_gradient(known, tmp_path: Path, balance, kind) -> None:
    models, task = known
    teacher, student = build(models["dense_teacher"]), build(models["student"])
    named = dict(teacher.named_parameters())
    sums: dict[str, Tensor] = {}
    for batch in scoring_batches(tiny_context(tmp_path, task, STAGE).rows("train", models["dense_teacher"]), 8):
        teacher.zero_grad()
        loss_values(teacher(batch).logits, student(batch).logits.detach(), batch.labels, 2.0)[kind].backward()
        for name, value in named.items():
            if value.grad is not None:
                sums[name] = sums.get(name, 0) + (value * value.grad).detach().abs()
    for names, score in zip(
        matrices_of(shape_of(models["dense_teacher"])), weights(models, tmp_path, task, balance), strict=True
    ):
        layer = torch.cat([sums[name].flatten() for name in names])
        torch.testing.assert_close(score, layer / layer.norm(), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("measure", [units, weights])
def test_every_layer_has_length_one_and_halves_are_mixed(models: Models, tmp_path: Path, measure) -> None:
    expressive, friendly = (measure(models, tmp_path, balance=balance) for balance in (1.0, 0.0))
    mixed = measure(models, tmp_path, balance=0.3)
    for one, other, both in zip(expressive, friendly, mixed, strict=True):
        assert float(one.norm()) == pytest.approx(1.0, abs=1e-4)
        assert float(other.norm()) == pytest.approx(1.0, abs=1e-4)
        torch.testing.assert_close(both, 0.3 * one + 0.7 * other)


@pytest.mark.parametrize("scale", [1e-3, 4.0, 1e3])
def test_the_scale_of_a_loss_does_not_matter(scale: float) -> None:
    e, f = torch.tensor([3.0, 4.0]), torch.tensor([0.1, 0.2])
    expected = knowledgeable(e, f, 0.5)
    torch.testing.assert_close(knowledgeable(scale * e, f, 0.5), expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(knowledgeable(e, scale * f, 0.5), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("measure", [units, weights])
def test_balance_one_ignores_the_student_and_zero_the_labels(models: Models, tmp_path: Path, measure) -> None:
    other_student = models.with_slots(student=models["student_init"])
    task = tiny_task()
    flipped = task.with_train(replace(task.train, labels=tuple(1 - label for label in task.train.labels)))
    student, labels = (other_student, task), (models, flipped)
    for balance, same, moved in ((1.0, student, labels), (0.0, labels, student)):
        expected = torch.cat(measure(models, tmp_path, balance=balance))
        torch.testing.assert_close(torch.cat(measure(same[0], tmp_path, same[1], balance=balance)), expected)
        found = torch.cat(measure(moved[0], tmp_path, moved[1], balance=balance))
        assert not torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("measure", [units, weights])
def test_other_splits_than_train_are_not_looked_at(models: Models, tmp_path: Path, measure) -> None:
    task = tiny_task()
    other = tiny_task(seed=7)
    moved = replace(task, valid=other.valid, test=other.test)
    for found, expected in zip(measure(models, tmp_path, moved), measure(models, tmp_path, task), strict=True):
        assert torch.equal(found, expected)


def test_constants_added_to_logits_change_nothing(models: Models, tmp_path: Path) -> None:
    expected = units(models, tmp_path)
    shifted = models.with_slots(
        dense_teacher=changed(
            models["dense_teacher"], classifier__bias=models["dense_teacher"].weights["classifier.bias"] + 3
        ),
        student=changed(models["student"], classifier__bias=models["student"].weights["classifier.bias"] - 5),
    )
    for found, score in zip(units(shifted, tmp_path), expected, strict=True):
        torch.testing.assert_close(found, score, atol=1e-3, rtol=1e-3)


def test_a_student_without_opinion_is_no_signal(models: Models, tmp_path: Path) -> None:
    silent = changed(
        models["student"],
        classifier__weight=torch.zeros_like(models["student"].weights["classifier.weight"]),
        classifier__bias=torch.full((2,), 0.7),
    )
    undecided = models.with_slots(student=silent)
    both, expressive = units(undecided, tmp_path, balance=0.5), units(models, tmp_path, balance=1.0)
    for found, alone in zip(both, expressive, strict=True):
        torch.testing.assert_close(found, 0.5 * alone, atol=0.05, rtol=0)


def test_a_student_that_equals_its_teacher_is_one_for_classes_alone(known, tmp_path: Path) -> None:
    models, task = known
    friendly = units(models.with_slots(student=models["dense_teacher"]), tmp_path, task, balance=0.0)
    assert all(bool((score > 0).any()) == (task.problem == "classification") for score in friendly)


def test_units_in_another_order_have_their_scores_in_that_order(models: Models, tmp_path: Path) -> None:
    dense = models["dense_teacher"]
    heads, neurons = torch.tensor([2, 0, 3, 1]), torch.randperm(32, generator=torch.Generator().manual_seed(0))
    inner = (heads.unsqueeze(1) * 4 + torch.arange(4)).flatten()
    moved = {}
    for name, places, dim in (
        *((f"attention.{part}.{kind}", inner, 0) for part in ("query", "key", "value") for kind in ("weight", "bias")),
        ("attention.output.weight", inner, 1),
        ("ffn.up.weight", neurons, 0),
        ("ffn.up.bias", neurons, 0),
        ("ffn.down.weight", neurons, 1),
    ):
        full = f"layers.1.{name}"
        moved[full.replace(".", "__")] = dense.weights[full].index_select(dim, places)
    other = models.with_slots(dense_teacher=changed(dense, **moved))
    batch = next(scoring_batches(tiny_context(tmp_path, tiny_task(), STAGE).rows("train", dense), 48))
    torch.testing.assert_close(build(other["dense_teacher"])(batch).logits, build(dense)(batch).logits)
    before, after = units(models, tmp_path), units(other, tmp_path)
    for found, expected in zip(after, (before[0], before[1][heads], before[2], before[3][neurons]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_silent_unit_scores_nothing(models: Models, tmp_path: Path) -> None:
    dense = models["dense_teacher"]
    down, output = (
        dense.weights[name].clone() for name in ("layers.0.ffn.down.weight", "layers.1.attention.output.weight")
    )
    down[:, 3] = 0
    output[:, 4:8] = 0  # the second head's part
    silent = changed(dense, layers__0__ffn__down__weight=down, layers__1__attention__output__weight=output)
    scores = units(models.with_slots(dense_teacher=silent), tmp_path)
    assert float(scores[2][3]) == 0.0
    assert float(scores[1][1]) == 0.0
    assert sum(int((part == 0).sum()) for part in scores) == 2


def test_reference_gradient_of_the_distillation_loss() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0]], requires_grad=True)
    loss = student_friendly_loss(teacher, torch.tensor([[1.0, 0.5, -0.5]]), 2.0)
    loss.backward()
    assert softmax(teacher.detach() / 2, 1)[0].tolist() == pytest.approx([0.628532, 0.231224, 0.140244], abs=1e-6)
    assert float(loss.detach()) == pytest.approx(3.897753, abs=1e-6)
    assert teacher.grad is not None
    assert teacher.grad[0].tolist() == pytest.approx([-0.204888, 0.040238, 0.164650], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_the_signal_in_closed_form(temperature: float) -> None:
    draw = torch.Generator().manual_seed(1)
    teacher = torch.randn(5, 4, generator=draw).requires_grad_()
    student = torch.randn(5, 4, generator=draw)
    student_friendly_loss(teacher, student, temperature).backward()
    p, h = softmax(teacher.detach() / temperature, 1), -torch.log_softmax(student / temperature, 1)
    expected = temperature * p * (h - (p * h).sum(1, keepdim=True)) / 5
    torch.testing.assert_close(teacher.grad, expected, atol=1e-6, rtol=1e-5)


def test_the_signal_of_a_regression_in_closed_form() -> None:
    teacher = torch.tensor([[2.0], [0.5]], requires_grad=True)
    student = torch.tensor([[1.0], [3.5]])
    student_friendly_loss(teacher, student, 2.0).backward()
    torch.testing.assert_close(teacher.grad, 2 * (teacher.detach() - student) / 2)


def test_an_even_student_and_shifts_of_logits_in_the_loss_itself() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.3, 0.1, 0.0]], requires_grad=True)
    student_friendly_loss(teacher, torch.full((2, 3), 0.7), 2.0).backward()
    assert teacher.grad is not None
    assert float(teacher.grad.abs().max()) < 1e-6
    student = torch.tensor([[1.0, 0.5, -0.5], [0.0, 1.0, 2.0]])
    value = student_friendly_loss(teacher, student, 2.0)
    torch.testing.assert_close(student_friendly_loss(teacher + 3, student - 5, 2.0), value)


@pytest.mark.parametrize(
    ("trial", "task", "student", "teacher", "label", "expected"),
    [
        (TRIAL, tiny_task(), [1.0, 0.5, -0.5], [2.0, 0.0, -1.0], 0, (3.897753 + 0.604131) / 2),
        (REGRESSION_TRIAL, tiny_regression(), [1.0], [3.0], 2.5, ((1.0 - 3.0) ** 2 + (1.0 - 2.5) ** 2) / 2),
    ],
)
def test_the_papers_trial_loss_is_a_pair_of_objectives(
    tmp_path: Path, trial, task, student, teacher, label, expected
) -> None:
    ones = torch.ones(1, 1, dtype=torch.long)
    outputs = [Outputs(torch.tensor([row]), ones) for row in (student, teacher)]
    batch = Batch(ones, ones, ones, torch.tensor([label]), torch.arange(1))
    ctx = tiny_context(tmp_path, task, "basics:Distil")
    terms = [objective.build(Models(), ctx) for objective in trial.objectives]
    found = sum(term.weight * float(term(*outputs, batch, None)) for term in terms)
    assert found == pytest.approx(expected, abs=1e-6)
