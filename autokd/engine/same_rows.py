"""The same rows as two tokenizers split them: from a student's batch to what the teacher reads of it."""

from __future__ import annotations

from dataclasses import replace

import torch

from autokd.contracts import Batch, Rows
from autokd.engine.batches import collate


class SameRows:
    """Turns batches of ``student`` rows into batches of ``teacher`` rows at the same positions.

    Where both are one, or equal in tokens and segments, a batch passes as it is. Where only segments differ the
    batches keep their width, so that tokens stay side by side.
    """

    def __init__(self, student: Rows, teacher: Rows) -> None:
        """Raises ValueError where the two have different numbers of rows."""
        if len(student) != len(teacher):
            raise ValueError(f"teacher and student read the same rows, but got {len(teacher)} and {len(student)}.")
        self._teacher = teacher
        one = student is teacher
        self._aligned = one or (torch.equal(student.offsets, teacher.offsets) and torch.equal(student.ids, teacher.ids))
        self._equal = one or (self._aligned and torch.equal(student.types, teacher.types))

    def of(self, batch: Batch) -> Batch:
        """The teacher's batch, on the device of the student's; a recipe that the batch carries goes along."""
        if self._equal:
            return batch
        width = batch.ids.shape[1] if self._aligned else None
        found = collate(self._teacher, batch.rows, width).to(batch.ids.device)
        return replace(found, transform=batch.transform)
