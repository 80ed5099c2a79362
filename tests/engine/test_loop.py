"""The training loop: exact resumption, pairing, honest vocabulary trimming, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from autokd.contracts import Batch, Dropout, LossTerm, Outputs, ParameterGroup, Wants
from autokd.core.errors import Paused, SpecError, TrainingError
from autokd.core.seeds import Seeds
from autokd.engine.loop import LoopOptions, train
from autokd.engine.teacher import TeacherOutputs
from autokd.models.slots import build, make_slot
from autokd.models.tiny import tiny_slot
from tests.engine.parts import (
    CPU,
    Adam,
    Averaging,
    LabelTerm,
    Swap,
    TaughtTerm,
    context,
    global_states,
    pause_after,
    same,
    some_rows,
    teacher_slot,
    weights,
)

OPTIONS = LoopOptions(epochs=2.5, batch_size=8, dropout=0.1)
ROWS = some_rows()


def run_everything(folder: Path, pause: int | None = None, precision: torch.dtype = torch.float32) -> nn.Module:
    """A student with a teacher, a term with weights, a stateful hook, a transform, dropout everywhere."""
    ctx = context(folder, precision=precision)
    if pause is not None:
        ctx = replace(ctx, should_pause=pause_after(pause))
    wants = Wants(frozenset({1}))
    teacher = TeacherOutputs(teacher_slot(), ROWS, replace(ctx, should_pause=lambda: False), wants)
    return train(
        build(tiny_slot(seed=3)),
        [LabelTerm(), TaughtTerm()],
        Adam(),
        OPTIONS,
        ctx,
        ROWS,
        hooks=[Averaging()],
        transformers=[Swap()],
        teacher=teacher,
        score=lambda model: 0.0,
    )


def plain(folder: Path, options: LoopOptions = OPTIONS, *, seed: int = 3, **changes: object) -> nn.Module:
    return train(build(tiny_slot(seed=seed)), [LabelTerm()], Adam(), options, context(folder, **changes), ROWS)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_run_paused_twice_equals_one_that_was_not(tmp_path: Path, precision: torch.dtype) -> None:
    whole = weights(run_everything(tmp_path / "whole", precision=precision))
    for _ in range(2):
        with pytest.raises(Paused, match="of 12"):
            run_everything(tmp_path / "paused", pause=5, precision=precision)
    resumed = weights(run_everything(tmp_path / "paused", precision=precision))
    assert same(whole, resumed)
    assert not same(whole, weights(build(tiny_slot(seed=3))))


def test_a_pause_before_the_first_step_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(Paused, match="step 0"):
        plain(tmp_path / "a", should_pause=lambda: True)
    assert same(weights(plain(tmp_path / "a")), weights(plain(tmp_path / "b")))


def test_global_random_streams_are_left_alone(tmp_path: Path) -> None:
    before = global_states()
    run_everything(tmp_path)
    assert global_states() == before


def test_seeds_alone_decide(tmp_path: Path) -> None:
    torch.manual_seed(5)
    first = weights(plain(tmp_path / "a"))
    torch.manual_seed(6)
    assert same(first, weights(plain(tmp_path / "b")))
    assert not same(first, weights(plain(tmp_path / "c", seeds=Seeds(2, "tests:Stage"))))


def test_another_term_does_not_shift_the_students_batches_and_dropout(tmp_path: Path) -> None:
    class Drawing(LossTerm):
        teacher_wants: Wants | None = None

        def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> torch.Tensor:
            return dropout(student.logits.detach(), 0.5).sum() * 0.0

    alone = weights(plain(tmp_path / "a"))
    ctx = context(tmp_path / "b")
    model = train(build(tiny_slot(seed=3)), [Drawing(), LabelTerm()], Adam(), OPTIONS, ctx, ROWS)
    assert same(alone, weights(model))


class WholeVocabulary(nn.Module):
    """A student whose word table cannot be cut."""

    def __init__(self) -> None:
        super().__init__()
        inner = build(tiny_slot(seed=3))
        word = inner.embeddings.word  # type: ignore[union-attr]
        table = nn.Embedding.from_pretrained(word.weight.detach().clone(), freeze=False, sparse=True)  # type: ignore[union-attr, operator]
        inner.embeddings.word = table  # type: ignore[union-attr]
        self.inner = inner

    def forward(self, batch: Batch, wants: Wants, *, dropout: Dropout | None = None) -> Outputs:
        return self.inner(batch, wants, dropout=dropout)  # type: ignore[no-any-return]


def test_a_trimmed_vocabulary_trains_the_same_weights(tmp_path: Path) -> None:
    options = replace(OPTIONS, clip_norm=0.0)  # the norm sums in another order over another number of rows
    trimmed = plain(tmp_path / "a", options)
    whole = train(WholeVocabulary(), [LabelTerm()], Adam(), options, context(tmp_path / "b"), ROWS)
    expected = {name.removeprefix("inner."): value for name, value in weights(whole).items()}
    assert same(weights(trimmed), expected)
    start = build(tiny_slot(seed=3)).embeddings.word.weight  # type: ignore[union-attr]
    end = trimmed.embeddings.word.weight  # type: ignore[union-attr]
    assert torch.equal(start[60:], end[60:])  # type: ignore[index]
    assert not torch.equal(start[5:60], end[5:60])  # type: ignore[index]


def test_scores_are_of_the_whole_model_after_each_epoch_and_at_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def score(model: nn.Module) -> float:
        slot = make_slot(model, tiny_slot().config, builder=tiny_slot().builder)
        return float(slot.weights["embeddings.word.weight"].shape[0])

    ctx = context(tmp_path, report=lambda step, value: seen.append((step, value)))
    train(build(tiny_slot(seed=3)), [LabelTerm()], Adam(), OPTIONS, ctx, ROWS, score=score)
    assert seen == [(5, 100.0), (10, 100.0), (12, 100.0)]


def test_scoring_does_not_change_training(tmp_path: Path) -> None:
    def score(model: nn.Module) -> float:
        model(next(iter_batches()), Wants())
        return 0.0

    def iter_batches():  # type: ignore[no-untyped-def]
        from autokd.engine.batches import scoring_batches

        return scoring_batches(ROWS, 8)

    ctx = context(tmp_path / "a")
    scored = train(build(tiny_slot(seed=3)), [LabelTerm()], Adam(), OPTIONS, ctx, ROWS, score=score)
    assert same(weights(scored), weights(plain(tmp_path / "b")))


def test_hooks_see_gradients_and_decide_the_result(tmp_path: Path) -> None:
    built = []

    class Watching(Averaging):
        def build(self, model, plan):  # type: ignore[no-untyped-def]
            built.append(super().build(model, plan))
            assert plan.n_steps == 12
            assert plan.steps_per_epoch == 5
            return built[-1]

    model = train(build(tiny_slot()), [LabelTerm()], Adam(), OPTIONS, context(tmp_path), ROWS, hooks=[Watching()])
    assert len(built[0].gradients) == 12
    assert min(built[0].gradients) > 0
    assert torch.equal(model.classifier.weight, built[0].mean)  # type: ignore[union-attr, arg-type]


def test_frozen_embeddings_stay_and_the_rest_trains(tmp_path: Path) -> None:
    model = plain(tmp_path, replace(OPTIONS, freeze_embeddings=True))
    start, end = weights(build(tiny_slot(seed=3))), weights(model)
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert changed == {name for name in start if not name.startswith("embeddings.")}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_training_learns(tmp_path: Path) -> None:
    # the label is whether word 7 occurs
    rows = some_rows(200)
    lengths = zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True)
    labels = torch.tensor([int((rows.ids[a:b] < 9).any()) for a, b in lengths])
    rows = replace(rows, labels=labels)
    from autokd.engine.evaluate import predict

    model = train(build(tiny_slot()), [LabelTerm()], Adam(), LoopOptions(12, 16), context(tmp_path), rows)
    assert (predict(model, rows, CPU).argmax(1) == labels).float().mean() > 0.9


def test_matrices_decay_and_nothing_else(tmp_path: Path) -> None:
    seen: list[ParameterGroup] = []

    class Watching(Adam):
        def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
            seen.extend(groups)
            return super().build(groups)

    ctx = context(tmp_path)
    teacher = TeacherOutputs(teacher_slot(), ROWS, ctx, Wants(frozenset({1})))
    train(build(tiny_slot()), [TaughtTerm()], Watching(), OPTIONS, ctx, ROWS, teacher=teacher)
    decays = {name: group.decay for group in seen for name in group.names}
    assert len(decays) == len(build(tiny_slot()).state_dict()) + 2
    for name, decay in decays.items():
        still = name.endswith("bias") or ".norm." in name or ".embeddings." in name
        assert decay is not still, name


def test_a_loss_that_is_not_finite_names_its_step(tmp_path: Path) -> None:
    class Breaking(LabelTerm):
        steps = 0

        def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> torch.Tensor:
            self.steps += 1
            return super().forward(student, teacher, batch, dropout) * (float("nan") if self.steps == 4 else 1.0)

    with pytest.raises(TrainingError, match="at step 4 of 12 it is nan"):
        train(build(tiny_slot()), [Breaking()], Adam(), OPTIONS, context(tmp_path), ROWS)


def test_a_state_of_another_loop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Paused):
        plain(tmp_path, should_pause=pause_after(3))
    with pytest.raises(TrainingError, match="of a loop with other rows"):
        plain(tmp_path, replace(OPTIONS, epochs=4))


def test_terms_that_read_a_teacher_need_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="TaughtTerm"):
        train(build(tiny_slot()), [TaughtTerm()], Adam(), OPTIONS, context(tmp_path), ROWS)
    with pytest.raises(SpecError, match="at least one loss term"):
        train(build(tiny_slot()), [], Adam(), OPTIONS, context(tmp_path), ROWS)


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("batch_size", 0), ("warmup_share", 1.0), ("clip_norm", -1.0), ("dropout", 1.0)]
)
def test_options_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(SpecError, match=field):
        replace(OPTIONS, **{field: value})


def test_very_many_epochs_are_scored_twenty_times(tmp_path: Path) -> None:
    told: list[int] = []
    ctx = context(tmp_path, report=lambda step, score: told.append(step))
    options = LoopOptions(epochs=90, batch_size=40)
    train(build(tiny_slot(seed=3)), [LabelTerm()], Adam(), options, ctx, ROWS, score=lambda model: 0.0)
    assert told == list(range(5, 91, 5))
