"""Which teacher layer each student layer is compared with."""

from __future__ import annotations

from autokd.core.errors import SpecError

PAIRINGS = ("skip", "last")


def layer_pairs(layers: str, n_teacher: int, n_student: int) -> tuple[tuple[int, int], ...]:
    """Pairs (teacher index, student index) of hidden states, 0 the embedding output; one per student index.

    ``skip``: every k-th teacher layer, ``k = n_teacher / n_student``, rounded down (arXiv:2109.11105).
    ``last``: the teacher's last layers; raises SpecError where the student has more layers than the teacher.
    """
    if layers == "skip":
        return tuple((i * n_teacher // n_student, i) for i in range(n_student + 1))
    if n_student > n_teacher:
        raise SpecError(
            f"layers 'last' needs a teacher with at least as many layers as the student, "
            f"but got {n_teacher} and {n_student}."
        )
    return tuple((n_teacher - n_student + i, i) for i in range(n_student + 1))
