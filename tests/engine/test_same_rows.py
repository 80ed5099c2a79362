"""One row, two tokenizers: the teacher reads its own tokens of the rows in a student's batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Rows, Wants
from autokd.engine.batches import collate
from autokd.engine.same_rows import SameRows
from autokd.engine.teacher import LiveTeacher, TeacherOutputs
from autokd.engine.tokens import make_rows
from autokd.models.slots import build
from tests.engine.parts import SwapRecipe, context, some_rows, teacher_slot

SOME = torch.tensor([4, 17, 29, 3])
WANTS = Wants(frozenset({1}))


def longer(rows: Rows) -> Rows:
    """The same rows as a tokenizer that gives each of them one more token."""
    parts = [rows.ids[rows.offsets[i] : rows.offsets[i + 1]].tolist() for i in range(len(rows))]
    return make_rows([[7, *part] for part in parts], [[0] * (len(part) + 1) for part in parts], rows.labels)


def test_equal_rows_leave_batches_alone() -> None:
    rows = some_rows(30)
    batch = collate(rows, SOME)
    assert SameRows(rows, rows).of(batch) is batch
    assert SameRows(rows, replace(rows, ids=rows.ids.clone())).of(batch) is batch


def test_other_segments_keep_the_batchs_width() -> None:
    rows = some_rows(30)
    own = replace(rows, types=torch.ones_like(rows.types))
    wide = collate(rows, SOME, width=40)
    found = SameRows(rows, own).of(wide)
    assert torch.equal(found.ids, wide.ids)
    assert torch.equal(found.mask, wide.mask)
    assert torch.equal(found.types, wide.mask)


def test_other_tokens_are_those_of_the_same_rows() -> None:
    rows = some_rows(30)
    recipe = SwapRecipe(0.5, torch.tensor([1, 0, 3, 2]))
    found = SameRows(rows, longer(rows)).of(replace(collate(rows, SOME), transform=recipe))
    assert torch.equal(found.mask.sum(1), rows.lengths[SOME] + 1)
    assert torch.equal(found.labels, rows.labels[SOME])
    assert found.transform is recipe


def test_other_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the same rows, but got 20 and 30"):
        SameRows(some_rows(30), some_rows(20))


def test_cached_outputs_are_those_of_the_teachers_own_tokens(tmp_path: Path) -> None:
    rows = some_rows(30)
    own = longer(rows)
    seen = SameRows(rows, own)
    outputs = TeacherOutputs(teacher_slot(), own, context(tmp_path), WANTS, seen=seen)
    found = outputs.for_batch(collate(rows, SOME))
    with torch.no_grad():
        expected = build(teacher_slot())(collate(own, SOME), WANTS)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
    real = expected.mask.bool()
    torch.testing.assert_close(found.hidden[1][real], expected.hidden[1][real], atol=1e-5, rtol=0)
    live = LiveTeacher(teacher_slot(), context(tmp_path), WANTS, seen).for_batch(collate(rows, SOME))
    torch.testing.assert_close(live.logits, expected.logits, atol=1e-5, rtol=0)
