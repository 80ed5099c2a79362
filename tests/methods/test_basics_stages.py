"""The common stages: what they make of the slots, that they learn, and forecasts against counted work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Models, ParameterGroup, Sizes
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.evaluate import score_slot
from autokd.methods.basics import (
    AdamW,
    Distil,
    FineTuneTeacher,
    HiddenMSE,
    Labels,
    Logits,
    MagnitudePruning,
    Mixup,
    Rewind,
    TruncateLayers,
    WordSwap,
)
from autokd.models.elastic import shape_of
from autokd.testing.context import tiny_context
from autokd.testing.methods import contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

FAST = AdamW(lr=2e-2)
TEACHER = FineTuneTeacher(epochs=6, batch_size=8, optimizer=FAST)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER, TruncateLayers(keep=1)), tiny_task(), tmp_path_factory.mktemp("stages"))


def context(root: Path, stage: str = "basics:Distil", task=None, **changes):
    return tiny_context(root, task or tiny_task(), stage, **changes)


def score(models: Models, slot: str, root: Path) -> float:
    ctx = context(root)
    return score_slot(models[slot], ctx.rows("valid", models[slot]), "accuracy", ctx.device)


def test_a_teacher_learns_the_task_and_reports_each_epoch(models: Models, tmp_path: Path) -> None:
    assert models["teacher"].content == models["dense_teacher"].content
    assert score(models, "teacher", tmp_path) > 0.9
    reports: list[tuple[int, float]] = []
    FineTuneTeacher(epochs=2.5, batch_size=8).run(Models(), context(tmp_path, reports=reports))
    assert [step for step, _ in reports] == [6, 12, 15]


def test_a_teacher_is_the_same_for_every_replicate(tmp_path: Path) -> None:
    stage = FineTuneTeacher(epochs=1, batch_size=8)
    runs = [
        stage.run(Models(), context(tmp_path, "basics:FineTuneTeacher", replicate=i, folder=str(i)))["teacher"].content
        for i in range(2)
    ]
    assert runs[0] == runs[1]


def test_students_differ_between_replicates(models: Models, tmp_path: Path) -> None:
    one, two = (Distil(epochs=1).run(models, context(tmp_path, replicate=i, folder=str(i))) for i in (0, 1))
    assert one["student"].content != two["student"].content


def test_truncation_keeps_weights_and_remembers_the_start(models: Models) -> None:
    student = models["student"]
    assert student == models["student_init"]
    assert shape_of(student).depth == 1
    assert torch.equal(student.weights["layers.0.ffn.up.weight"], models["teacher"].weights["layers.0.ffn.up.weight"])
    with pytest.raises(SpecError, match="at most 2 layers"):
        TruncateLayers(keep=3).run(models, None)  # type: ignore[arg-type]


def test_truncation_starts_from_the_dense_teacher(models: Models, tmp_path: Path) -> None:
    sparse = models.with_slots(teacher=models["student"])
    assert TruncateLayers(keep=2).run(sparse, context(tmp_path))["student"].content == models["dense_teacher"].content


def test_rewinding_brings_back_the_start_and_the_same_run(models: Models, tmp_path: Path) -> None:
    stage = Distil(epochs=2, batch_size=8)
    once = stage.run(models, context(tmp_path, folder="once"))
    assert once["student"].content != models["student"].content
    back = Rewind().run(once, context(tmp_path))
    assert contents(back) == contents(models)
    assert contents(stage.run(back, context(tmp_path, folder="again"))) == contents(once)


def test_a_student_learns_from_the_teacher_alone(models: Models, tmp_path: Path) -> None:
    blank = {name: torch.zeros_like(value) for name, value in models["student"].weights.items() if "classifier" in name}
    student = replace(models["student"], weights={**models["student"].weights, **blank})
    untaught = models.with_slots(student=student)
    assert score(untaught, "student", tmp_path) < 0.7
    made = Distil(epochs=6, batch_size=8, optimizer=FAST).run(untaught, context(tmp_path))
    assert score(made, "student", tmp_path) > 0.9


def test_labels_alone_need_no_teacher(models: Models, tmp_path: Path) -> None:
    alone = models.without("teacher", "dense_teacher")
    made = Distil(objectives=(Labels(),), epochs=1).run(alone, context(tmp_path))
    assert set(made) == {"student", "student_init"}


def test_regression_runs_with_squared_errors(tmp_path: Path) -> None:
    task = tiny_regression()
    distil = Distil(objectives=(Labels(), Logits(form="mse")), epochs=2, batch_size=8)
    made = run_stages((TEACHER, TruncateLayers(keep=1), distil), task, tmp_path)
    assert shape_of(made["student"]).labels == 1


def test_a_warm_and_a_cold_cache_give_equal_students(models: Models, tmp_path: Path) -> None:
    stage = Distil(objectives=(Logits(), HiddenMSE()), epochs=1, batch_size=8)
    cold = stage.run(models, context(tmp_path, folder="cold"))
    warm = stage.run(models, context(tmp_path, folder="warm"))
    elsewhere = stage.run(models, context(tmp_path / "elsewhere"))
    assert cold["student"].content == warm["student"].content == elsewhere["student"].content


def test_terms_that_weigh_nothing_change_nothing_but_themselves(models: Models, tmp_path: Path) -> None:
    plain = Distil(epochs=1, batch_size=8).run(models, context(tmp_path, folder="plain"))
    more = Distil(objectives=(Logits(), HiddenMSE(weight=0)), epochs=1, batch_size=8)
    made = more.run(models, context(tmp_path, folder="more"))
    for name, value in plain["student"].weights.items():
        torch.testing.assert_close(made["student"].weights[name], value)


BERT = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
SIZES = Sizes(1000, 40.0, BERT, BERT.with_layers(BERT.layers[:3]))
STUDENT_MACS, TEACHER_MACS = BERT.with_layers(BERT.layers[:3]).macs(40.0), BERT.macs(40.0)


@pytest.mark.parametrize(
    ("stage", "macs"),
    [
        (FineTuneTeacher(epochs=2), 3 * 2 * 1000 * TEACHER_MACS),
        (TruncateLayers(keep=2), 0.0),
        (Distil(objectives=(Labels(),), epochs=2), 3 * 2 * 1000 * STUDENT_MACS),
        (Distil(epochs=2), 3 * 2 * 1000 * STUDENT_MACS + 1000 * TEACHER_MACS),
        (Distil(epochs=2, augmenters=(WordSwap(),)), 2 * (3 * 2 * 1000 * STUDENT_MACS + 1000 * TEACHER_MACS)),
        (Distil(epochs=2, augmenters=(Mixup(),)), 2 * 2 * 1000 * (3 * STUDENT_MACS + TEACHER_MACS)),
        (
            Distil(objectives=(Labels(),), epochs=2, batch_size=10, hooks=(MagnitudePruning(every=4),)),
            3 * 2 * 1000 * STUDENT_MACS + 200 * 3 * 7_077_888 / 4,
        ),
    ],
)
def test_forecasts(stage, macs: float) -> None:
    cost, _ = stage.cost(SIZES)
    assert cost.macs == pytest.approx(macs)


def test_forecasts_follow_the_shapes() -> None:
    _, after = TruncateLayers(keep=2, take="last").cost(SIZES)
    assert after.student == after.student_init == BERT.with_layers(BERT.layers[:2])
    assert Rewind().cost(replace(after, student=None))[1].student == after.student_init
    with pytest.raises(SpecError, match="at most 12 layers"):
        TruncateLayers(keep=13).cost(SIZES)


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Distil, {"objectives": ()}),
        (Distil, {"objectives": (Mixup(),)}),
        (Distil, {"hooks": (Logits(),)}),
        (Distil, {"augmenters": (Mixup(), Mixup())}),
        (Distil, {"optimizer": Logits()}),
        (Distil, {"epochs": 0}),
        (Distil, {"batch_size": 2.5}),
        (Distil, {"dropout": 1.0}),
        (FineTuneTeacher, {"warmup_share": 1.0}),
        (FineTuneTeacher, {"freeze_embeddings": 1}),
        (TruncateLayers, {"take": "middle"}),
        (AdamW, {"lr": 0}),
        (AdamW, {"beta2": 1.0}),
    ],
)
def test_fields_are_checked(cls, fields) -> None:
    with pytest.raises(SpecError, match=f"{cls.__name__}.{next(iter(fields))} must be"):
        cls(**fields)


def test_parameters_decay_where_their_group_says_so() -> None:
    groups = [ParameterGroup(("a",), (torch.nn.Parameter(torch.ones(2)),), decay) for decay in (True, False)]
    built = AdamW(lr=0.1, weight_decay=0.3).build(groups)
    assert [group["weight_decay"] for group in built.param_groups] == [0.3, 0.0]
    assert built.param_groups[0]["fused"]
