"""What methods say of themselves before anything runs: facts, wanted tensors, cost."""

from __future__ import annotations

from dataclasses import dataclass

from autokd.core.shape import EncoderShape


@dataclass(frozen=True)
class Facts:
    """What a method needs to hold before it runs, must not find, and makes true or untrue.

    Slots are facts of their own name. Further facts in use: ``text``, ``classification``, ``regression`` (the task),
    ``trained_student`` (the student was distilled or fine-tuned), ``hash_routed`` (experts chosen by token id).
    """

    needs: frozenset[str] = frozenset()
    forbids: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wants:
    """Which tensors of a forward pass someone will read.

    ``hidden`` lists indices of hidden states, 0 the embedding output, ``i`` the output of layer ``i`` (1-based).
    ``attention`` asks for the queries, keys and values of every layer.
    """

    hidden: frozenset[int] = frozenset()
    attention: bool = False

    def __or__(self, other: Wants) -> Wants:
        return Wants(self.hidden | other.hidden, self.attention or other.attention)


@dataclass(frozen=True)
class Sizes:
    """What a forecast knows at some point of a pipeline: data, and the shapes of the networks so far.

    ``rows`` is the number of training rows, ``length`` their mean number of tokens. A shape is None where it cannot
    be known beforehand; costs that follow are then marked as unknown. ``dense_teacher`` None: the teacher itself.
    """

    rows: int
    length: float
    teacher: EncoderShape
    student: EncoderShape | None = None
    student_init: EncoderShape | None = None
    dense_teacher: EncoderShape | None = None


@dataclass(frozen=True)
class Cost:
    """Forecast of a stage: training multiply-accumulates, without validation; ``known`` False where it is a guess."""

    macs: float
    known: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.known and other.known)


# A backward pass costs twice a forward pass: one product for the inputs' gradient and one for the weights'.
TRAINING_FACTOR = 3.0
