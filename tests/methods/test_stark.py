"""StarK: scores against finite reasoning, exact and nested cuts, and rewinding that equals plain distillation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Models, Sizes
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.batches import scoring_batches
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher, Logits, Rewind, TruncateLayers
from autokd.methods.stark import SparsifyTeacher, knowledgeable, student_friendly_loss, unit_scores
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

BEFORE = (
    FineTuneTeacher(epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3)),
    TruncateLayers(keep=1),
    Distil(epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3)),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages(BEFORE, tiny_task(), tmp_path_factory.mktemp("stark"))


def scores(models: Models, root: Path, task=None, balance=0.5, temperature=2.0):
    ctx = tiny_context(root, task or tiny_task(), "stark:SparsifyTeacher")
    return unit_scores(models, ctx, balance, temperature, 8)


def test_reference_gradient_of_the_distillation_loss() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0]], requires_grad=True)
    loss = student_friendly_loss(teacher, torch.tensor([[1.0, 0.5, -0.5]]), 2.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(3.897753, abs=1e-6)
    assert teacher.grad is not None
    assert teacher.grad[0].tolist() == pytest.approx([-0.204888, 0.040238, 0.164650], abs=1e-6)


def test_a_student_without_opinion_gives_no_signal_and_shifts_change_nothing() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.3, 0.1, 0.0]], requires_grad=True)
    student_friendly_loss(teacher, torch.full((2, 3), 0.7), 2.0).backward()
    assert teacher.grad is not None
    assert float(teacher.grad.abs().max()) < 1e-6
    student = torch.tensor([[1.0, 0.5, -0.5], [0.0, 1.0, 2.0]])
    value = student_friendly_loss(teacher, student, 2.0)
    torch.testing.assert_close(student_friendly_loss(teacher + 3, student - 5, 2.0), value)


def test_each_part_has_length_one_and_scale_does_not_matter() -> None:
    e, f = torch.tensor([3.0, 4.0]), torch.tensor([0.1, 0.2])
    assert float(knowledgeable(e, f, 1.0).norm()) == pytest.approx(1.0, abs=1e-6)
    assert float(knowledgeable(e, f, 0.0).norm()) == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(knowledgeable(100 * e, 7 * f, 0.5), knowledgeable(e, f, 0.5), atol=1e-5, rtol=1e-5)


def test_balance_one_ignores_the_student_and_zero_the_labels(models: Models, tmp_path: Path) -> None:
    other_student = models.with_slots(student=models["student_init"])
    task = tiny_task()
    flipped = task.with_train(replace(task.train, labels=tuple(1 - label for label in task.train.labels)))
    student, labels = (other_student, task), (models, flipped)
    for balance, same, changed in ((1.0, student, labels), (0.0, labels, student)):
        expected = torch.cat(scores(models, tmp_path / f"a{balance}", balance=balance)[1])
        held, held_task = same
        torch.testing.assert_close(torch.cat(scores(held, tmp_path / f"b{balance}", held_task, balance)[1]), expected)
        moved, moved_task = changed
        found = torch.cat(scores(moved, tmp_path / f"c{balance}", moved_task, balance)[1])
        assert not torch.allclose(found, expected, atol=1e-4)


def test_a_silent_unit_scores_nothing(models: Models, tmp_path: Path) -> None:
    teacher = models["dense_teacher"]
    weights = {name: value.clone() for name, value in teacher.weights.items()}
    weights["layers.0.ffn.down.weight"][:, 3] = 0
    weights["layers.1.attention.output.weight"][:, 4:8] = 0  # the second head's part
    silent = models.with_slots(dense_teacher=replace(teacher, weights=weights))
    heads, neurons = scores(silent, tmp_path)
    assert float(neurons[0][3]) == 0.0
    assert float(heads[1][1]) == 0.0
    assert sum(int((part == 0).sum()) for part in (*heads, *neurons)) == 2


def sparsified(models: Models, root: Path, share: float) -> Models:
    ctx = tiny_context(root, tiny_task(), "stark:SparsifyTeacher")
    return SparsifyTeacher(share=share, batch_size=8).run(models, ctx)


def test_cuts_are_exact_and_only_the_teacher_changes(models: Models, tmp_path: Path) -> None:
    for share, n_heads, n_neurons in ((0.1, 7, 58), (0.5, 4, 32), (0.9, 1, 6)):
        made = sparsified(models, tmp_path / str(share), share)
        layers = shape_of(made["teacher"]).layers
        assert (sum(layer.heads for layer in layers), sum(layer.ffn for layer in layers)) == (n_heads, n_neurons)
        assert {k: v for k, v in contents(made).items() if k != "teacher"} == {
            k: v for k, v in contents(models).items() if k != "teacher"
        }


def test_a_little_cut_moves_the_teacher_less_than_a_large_one(models: Models, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "stark:SparsifyTeacher")
    batch = next(scoring_batches(ctx.rows("train", models["teacher"]), 48))
    dense = build(models["dense_teacher"])(batch).logits

    def moved(share: float) -> float:
        sparse = build(sparsified(models, tmp_path / f"m{share}", share)["teacher"])(batch).logits
        return float((sparse - dense).detach().abs().mean())

    assert moved(0.0) == 0.0
    assert 0 < moved(0.1) < moved(0.9)


def test_at_sparsity_zero_it_equals_plain_distillation_exactly(models: Models, tmp_path: Path) -> None:
    task = tiny_task()
    dense = sparsified(models, tmp_path, 0.0)
    assert dense["teacher"].content == models["dense_teacher"].content
    again = run_stages((Rewind(), BEFORE[2]), task, tmp_path, dense)
    assert again["student"].content == models["student"].content
    sparse = run_stages((Rewind(), BEFORE[2]), task, tmp_path / "half", sparsified(models, tmp_path / "half", 0.5))
    assert sparse["student"].content != models["student"].content


def test_regression_scores_by_squared_errors(tmp_path: Path) -> None:
    task = tiny_regression()
    before = (*BEFORE[:2], Distil(objectives=(Logits(form="mse"),), epochs=1, batch_size=8))
    models = run_stages(before, task, tmp_path)
    heads, neurons = scores(models, tmp_path, task)
    assert all(bool(torch.isfinite(part).all()) and float(part.sum()) > 0 for part in (*heads, *neurons))


def test_forecast_knows_the_sparse_teacher_exactly() -> None:
    base = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
    sizes = Sizes(1000, 64.0, base, base.with_layers(base.layers[:4]))
    expected_heads = [0, 14, 29, 43, 58, 72, 86, 101, 115, 130]
    expected_neurons = [0, 3686, 7373, 11059, 14746, 18432, 22118, 25805, 29491, 33178]
    for tenth in range(10):
        cost, after = SparsifyTeacher(share=tenth / 10).cost(sizes)
        assert cost.known
        cut_heads = 144 - sum(layer.heads for layer in after.teacher.layers)
        cut_neurons = 36864 - sum(layer.ffn for layer in after.teacher.layers)
        assert (cut_heads, cut_neurons) == (expected_heads[tenth], expected_neurons[tenth])
    assert after.dense_teacher == base
    assert after.student == sizes.student


@pytest.mark.parametrize("fields", [{"share": 1.0}, {"balance": 2}, {"temperature": 0}, {"batch_size": 0}])
def test_fields_are_checked(fields) -> None:
    with pytest.raises(SpecError, match=f"SparsifyTeacher.{next(iter(fields))} must be"):
        SparsifyTeacher(**fields)
