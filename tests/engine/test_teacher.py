"""The teacher's cache: right numbers, shared, equal warm and cold, continued after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Context, Outputs, Wants
from autokd.core.errors import Paused
from autokd.engine import output_files, teacher
from autokd.engine.batches import collate
from autokd.engine.teacher import TeacherOutputs
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from tests.engine.parts import SwapRecipe, context, pause_after, some_rows, teacher_slot

ROWS = some_rows(30)
WANTS = Wants(frozenset({0, 2}))
SOME = torch.tensor([4, 17, 29, 3])


class Passes:
    """Counts the passes of every teacher that is built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        def counted(slot):  # type: ignore[no-untyped-def]
            module = build(slot)
            module.register_forward_hook(self._counted)
            return module

        monkeypatch.setattr(teacher, "build", counted)

    def _counted(self, *_: object) -> None:
        self.count += 1


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    monkeypatch.setattr(output_files, "_GROUP", 8)
    return Passes(monkeypatch)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return context(tmp_path)


def direct(wants: Wants = WANTS, rows: torch.Tensor = SOME) -> Outputs:
    with torch.no_grad():
        found: Outputs = build(teacher_slot())(collate(ROWS, rows), wants)
    return found


def check(found: Outputs, expected: Outputs, tolerance: float = 1e-5) -> None:
    real = expected.mask.bool()
    assert torch.equal(found.mask, expected.mask)
    assert torch.allclose(found.logits, expected.logits, atol=tolerance)
    assert found.hidden.keys() == expected.hidden.keys()
    for i, value in expected.hidden.items():
        assert torch.allclose(found.hidden[i][real].float(), value[real], atol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_cached_outputs_are_the_teachers(
    ctx: Context, passes: Passes, precision: torch.dtype, tolerance: float
) -> None:
    outputs = TeacherOutputs(teacher_slot(), ROWS, replace(ctx, precision=precision), WANTS)
    assert passes.count == 4
    found = outputs.for_batch(collate(ROWS, SOME))
    check(found, direct(), tolerance)
    assert found.logits.dtype == torch.float32
    assert found.hidden[2].dtype == precision
    assert not bool(found.hidden[2][found.mask == 0].any())
    assert passes.count == 4


def test_a_warm_cache_equals_a_cold_one_and_computes_nothing(ctx: Context, passes: Passes) -> None:
    cold = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS).for_batch(collate(ROWS, SOME))
    passes.count = 0
    warm = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS).for_batch(collate(ROWS, SOME))
    assert passes.count == 0
    assert torch.equal(cold.logits, warm.logits)
    assert all(torch.equal(cold.hidden[i], warm.hidden[i]) for i in cold.hidden)


def test_another_want_adds_files_and_changes_no_number(ctx: Context, passes: Passes) -> None:
    before = TeacherOutputs(teacher_slot(), ROWS, ctx, Wants()).for_batch(collate(ROWS, SOME))
    found = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS).for_batch(collate(ROWS, SOME))
    assert torch.equal(before.logits, found.logits)
    check(found, direct())


@pytest.mark.parametrize("change", ["teacher", "rows", "precision"])
def test_what_the_numbers_depend_on_is_in_the_key(ctx: Context, passes: Passes, change: str) -> None:
    TeacherOutputs(teacher_slot(), ROWS, ctx, Wants())
    passes.count = 0
    slot = tiny_slot(seed=8) if change == "teacher" else teacher_slot()
    rows = some_rows(30, seed=5) if change == "rows" else ROWS
    other = replace(ctx, precision=torch.bfloat16) if change == "precision" else ctx
    TeacherOutputs(slot, rows, other, Wants())
    assert passes.count == 4


def test_labels_are_not_in_the_key(ctx: Context, passes: Passes) -> None:
    TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS)
    passes.count = 0
    TeacherOutputs(teacher_slot(), replace(ROWS, labels=1 - ROWS.labels), ctx, WANTS)
    assert passes.count == 0


def test_a_transformed_batch_takes_one_live_pass(ctx: Context, passes: Passes) -> None:
    outputs = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS)
    passes.count = 0
    recipe = SwapRecipe(0.7, torch.tensor([1, 0, 3, 2]))
    batch = replace(collate(ROWS, SOME), transform=recipe)
    found = outputs.for_batch(batch)
    assert passes.count == 1
    with torch.no_grad():
        check(found, build(teacher_slot())(batch, WANTS))


def test_beyond_the_disk_limit_hidden_states_are_recomputed(ctx: Context, passes: Passes) -> None:
    outputs = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS, hidden_limit_bytes=100)
    assert outputs.live
    check(outputs.for_batch(collate(ROWS, SOME)), direct())
    assert not list(ctx.cache.rglob("hidden-*"))


def test_queries_keys_and_values_are_computed_live(ctx: Context, passes: Passes) -> None:
    wants = Wants(frozenset({1}), attention=True)
    found = TeacherOutputs(teacher_slot(), ROWS, ctx, wants).for_batch(collate(ROWS, SOME))
    expected = direct(wants)
    check(found, expected)
    for ours, theirs in zip(found.attention, expected.attention, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_stopped_fill_is_continued(ctx: Context, passes: Passes) -> None:
    with pytest.raises(Paused, match="group 2"):
        TeacherOutputs(teacher_slot(), ROWS, replace(ctx, should_pause=pause_after(2)), WANTS)
    assert not list(ctx.cache.rglob("*.bin"))
    assert passes.count == 2
    found = TeacherOutputs(teacher_slot(), ROWS, ctx, WANTS).for_batch(collate(ROWS, SOME))
    assert passes.count == 4
    check(found, direct())


def test_a_stop_request_is_heard_while_another_one_fills(ctx: Context, passes: Passes) -> None:
    from filelock import FileLock

    TeacherOutputs(teacher_slot(), ROWS, ctx, Wants())
    [folder] = (ctx.cache / "teacher").iterdir()
    with FileLock(folder / "lock"), pytest.raises(Paused, match="another worker"):
        TeacherOutputs(teacher_slot(), ROWS, replace(ctx, should_pause=lambda: True), WANTS)
