"""Which teacher layers each student layer is compared with, and how much each comparison counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autokd.core.errors import SpecError
from autokd.methods.basics.transport import transport_plan

PAIRINGS = ("skip", "last")
LAYER_MAPS = (*PAIRINGS, "emd")


def layer_pairs(layers: str, n_teacher: int, n_student: int) -> tuple[tuple[int, int], ...]:
    """Pairs (teacher index, student index) of hidden states, 0 the embedding output; at most one per student index.

    ``skip``: every k-th teacher layer, ``k = n_teacher / n_student``, rounded down (arXiv:2109.11105). Of a student
    deeper than its teacher the layers before the teacher's first have no pair (the paper has no such student; its
    formula would compare them with the teacher's embedding output, whose [CLS] vector is the same for every row).
    ``last``: the teacher's last layers; raises SpecError where the student has more layers than the teacher.
    """
    if layers == "skip":
        pairs = ((i * n_teacher // n_student, i) for i in range(n_student + 1))
        return tuple((t, s) for t, s in pairs if t > 0 or s == 0)
    if n_student > n_teacher:
        raise SpecError(
            f"layers 'last' needs a teacher with at least as many layers as the student, "
            f"but got {n_teacher} and {n_student}."
        )
    return tuple((n_teacher - n_student + i, i) for i in range(n_student + 1))


@dataclass(frozen=True)
class LayerMap:
    """The pairs (teacher index, student index) of hidden states to compare, and how their losses are added up.

    ``transported`` (rows, columns): the last rows x columns pairs are all pairs of student and teacher layers, student
    by student, and count as much as an optimal transport between the layers carries (arXiv:2109.11105, its "emd").
    """

    pairs: tuple[tuple[int, int], ...]
    transported: tuple[int, int] | None = None

    @property
    def teacher(self) -> tuple[int, ...]:
        """The teacher's indices, each once, ascending."""
        return tuple(sorted({t for t, _ in self.pairs}))

    @property
    def student(self) -> tuple[int, ...]:
        """The student's indices, each once, ascending."""
        return tuple(sorted({s for _, s in self.pairs}))

    def weights(self, losses: Tensor) -> Tensor:
        """How much each pair's loss counts: [n_pairs], without gradient, for losses [n_pairs].

        1 for each fixed pair; the transport plan, which adds up to 1, for pairs that are transported.
        """
        costs = losses.detach()
        weights = torch.ones_like(costs)
        if self.transported is not None:
            rows, columns = self.transported
            plan = transport_plan(costs[-rows * columns :].view(rows, columns))
            weights[-rows * columns :] = plan.reshape(-1)
        return weights


def layer_map(layers: str, n_teacher: int, n_student: int, *, embedding: bool = True) -> LayerMap:
    """The map ``skip``, ``last`` or ``emd`` between networks of these depths.

    ``embedding``: whether the pair that holds the student's embedding output is compared too (under emd with the
    teacher's, outside of the transport). Raises SpecError as ``layer_pairs`` does.
    """
    first = 0 if embedding else 1
    if layers != "emd":
        return LayerMap(layer_pairs(layers, n_teacher, n_student)[first:])
    every = tuple((t, s) for s in range(1, n_student + 1) for t in range(1, n_teacher + 1))
    return LayerMap((*(((0, 0),) if embedding else ()), *every), (n_student, n_teacher))
