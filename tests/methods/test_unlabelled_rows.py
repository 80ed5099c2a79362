"""Rows that only the teacher labels: who trains on them, and what becomes of gold labels beside them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autokd.contracts import Batch, Models, Sizes
from autokd.core.shape import EncoderShape, LayerShape
from autokd.core.task import Task, without_labels
from autokd.engine.evaluate import score_slot
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher, Labels, Logits, Mixup, TruncateLayers, WordSwap
from autokd.methods.basics.augmenters import MixupRecipe
from autokd.methods.basics.objectives import task_loss
from autokd.models.tiny import tiny_tokenizer
from autokd.testing.context import tiny_context
from autokd.testing.methods import contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

TEACHER = FineTuneTeacher(epochs=6, batch_size=8, optimizer=AdamW(lr=2e-2))


def with_further(task: Task, n_rows: int = 40) -> Task:
    """The task with new sentences beside it, made of the words that it knows."""
    more = tiny_task(n_train=n_rows, seed=9).train
    return replace(task, unlabelled=without_labels(more.text_a, None, task.problem))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER, TruncateLayers(keep=1)), tiny_task(), tmp_path_factory.mktemp("models"))


def distil(stage: Distil, models: Models, task: Task, root: Path, folder: str, **changes: Any) -> Models:
    return stage.run(models, tiny_context(root, task, "basics:Distil", folder=folder, **changes))


def steps(stage: Distil, models: Models, task: Task, root: Path) -> int:
    reports: list[tuple[int, float]] = []
    distil(stage, models, task, root, "steps", reports=reports)
    return reports[-1][0]


def test_a_student_of_the_teacher_sees_them_and_one_of_labels_does_not(models: Models, tmp_path: Path) -> None:
    plain, more = tiny_task(), with_further(tiny_task())
    taught, alone = Distil(epochs=1, batch_size=8), Distil(objectives=(Labels(),), epochs=1, batch_size=8)
    assert (steps(taught, models, plain, tmp_path / "a"), steps(taught, models, more, tmp_path / "b")) == (6, 11)
    first, second = (distil(alone, models, task, tmp_path / "c", task.content) for task in (plain, more))
    assert contents(first) == contents(second)


def test_augmenters_change_them_too(models: Models, tmp_path: Path) -> None:
    stage = Distil(epochs=1, batch_size=8, augmenters=(WordSwap(),))
    assert steps(stage, models, with_further(tiny_task()), tmp_path) == 2 * (48 + 40) / 8


def test_a_teacher_is_tuned_on_labelled_rows_alone(tmp_path: Path) -> None:
    tiny_tokenizer([*tiny_task().train.text_a], tmp_path / "tokenizer")
    stage = FineTuneTeacher(epochs=1, batch_size=8)
    made = [
        stage.run(Models(), tiny_context(tmp_path, task, "basics:FineTuneTeacher", folder=str(i)))
        for i, task in enumerate((tiny_task(), with_further(tiny_task())))
    ]
    assert contents(made[0]) == contents(made[1])


@pytest.mark.parametrize("augmenters", [(), (Mixup(),), (WordSwap(), Mixup())])
@pytest.mark.parametrize("make", [tiny_task, tiny_regression])
def test_gold_labels_and_a_teacher_train_together(make: Any, augmenters: tuple[Any, ...], tmp_path: Path) -> None:
    objectives = (Labels(), Logits(form="mse"))
    stage = Distil(objectives=objectives, epochs=4, batch_size=8, optimizer=AdamW(lr=2e-2), augmenters=augmenters)
    task = with_further(make())
    found = run_stages((TEACHER, TruncateLayers(keep=1), stage), task, tmp_path)
    ctx = tiny_context(tmp_path, task, "basics:Distil")
    metric = "accuracy" if task.problem == "classification" else "pearson"
    assert score_slot(found["student"], ctx.rows("valid", found["student"]), metric, ctx.device) > 0.8


def batch(labels: list[Any], **changes: Any) -> Batch:
    ones = torch.ones(len(labels), 3, dtype=torch.long)
    return Batch(ones, ones, ones, torch.tensor(labels), torch.arange(len(labels)), **changes)


def test_the_loss_is_a_mean_over_labelled_rows() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -5.0], [0.0, 0.0]], requires_grad=True)
    loss = task_loss(logits, batch([1, -100, 0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1].tolist() == [0.0, 0.0]
    assert task_loss(torch.tensor([[2.0], [9.0]]), batch([0.0, math.nan])).item() == pytest.approx(4.0)


def test_a_batch_without_any_label_costs_nothing() -> None:
    logits = torch.ones(2, 2, requires_grad=True)
    loss = task_loss(logits, batch([-100, -100]))
    loss.backward()
    assert logits.grad is not None
    assert (loss.item(), logits.grad.abs().sum().item()) == (0.0, 0.0)


@pytest.mark.parametrize("labels", [[0, 1, -100], [0.5, 2.5, math.nan]])
def test_a_mixture_counts_where_both_its_sources_have_labels(labels: list[Any]) -> None:
    mixed = batch(labels, transform=MixupRecipe(0.3, torch.tensor([1, 2, 0])))
    assert mixed.labelled().tolist() == [True, True, False, True, False, False]
    assert bool(mixed.targets(1 if isinstance(labels[0], float) else 2).isfinite().all())


def test_a_forecast_counts_them_where_a_teacher_labels_them() -> None:
    shape = EncoderShape(30522, 512, 384, (LayerShape(12, 32, 1536),) * 6, labels=2)
    plain = Sizes(1000, 40.0, shape, shape.with_layers(shape.layers[:2]))
    more = replace(plain, unlabelled=500)
    taught, alone = Distil(epochs=2), Distil(objectives=(Labels(),), epochs=2)
    assert taught.cost(more)[0].macs == pytest.approx(1.5 * taught.cost(plain)[0].macs)
    assert alone.cost(more)[0].macs == alone.cost(plain)[0].macs
