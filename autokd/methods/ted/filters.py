"""Filters between two networks' layers: their shapes as a plain value, their modules, the slot that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from autokd.contracts import Models, Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.methods.basics.pairs import layer_pairs
from autokd.models.linear import Linear
from autokd.models.slots import make_slot, shape_of_slot

SLOT = "ted_filters"
_BUILDER = "autokd.methods.ted.filters:FilterPair"


@dataclass(frozen=True)
class FilterShape:
    """One filter for each of two networks at every pair of layers.

    ``pairs`` are (teacher, student) indices of hidden states, 1 the first layer's output; ``teacher`` and ``student``
    the networks' hidden widths, ``width`` that of what both filters give.
    """

    pairs: tuple[tuple[int, int], ...]
    teacher: int
    student: int
    width: int
    nonlinear: bool = False

    def macs(self, side: str) -> float:
        """Multiply-accumulates of all filters of one side (``teacher`` or ``student``) for one token."""
        inputs: int = getattr(self, side)
        inner = inputs * inputs if self.nonlinear else 0
        return float(len(self.pairs) * (inner + inputs * self.width))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> FilterShape:
        pairs = tuple((int(t), int(s)) for t, s in value["pairs"])
        return FilterShape(pairs, value["teacher"], value["student"], value["width"], value["nonlinear"])


def filter_pairs(n_teacher: int, n_student: int, every: int = 1) -> tuple[tuple[int, int], ...]:
    """Pairs (teacher layer, student layer), both from 1, at every ``every``-th student layer.

    Student layer k goes with teacher layer ``floor(k * n_teacher / n_student)``: 2, 4 .. 12 for 6 of 12; where that is
    0, as in a student deeper than its teacher, with none. Raises SpecError where no pair is left.
    """
    if every > n_student:
        raise SpecError(f"filters at every {every}-th layer need a student of as many layers, but it has {n_student}.")
    pairs = tuple((t, s) for t, s in layer_pairs("skip", n_teacher, n_student) if s > 0 and s % every == 0)
    if not pairs:
        raise SpecError(
            f"filters at every {every}-th of {n_student} student layers find none of the teacher's {n_teacher} "
            "to follow."
        )
    return pairs


def shape_between(
    teacher: EncoderShape, student: EncoderShape, width: int | None = None, nonlinear: bool = False, every: int = 1
) -> FilterShape:
    """The filters between two networks; ``width`` None: the teacher's hidden one."""
    pairs = filter_pairs(teacher.depth, student.depth, every)
    return FilterShape(pairs, teacher.hidden, student.hidden, width or teacher.hidden, nonlinear)


def make_filter(inputs: int, width: int, nonlinear: bool) -> nn.Module:
    """A linear layer with bias, or two with a GELU between them. Weights start at zero."""
    if not nonlinear:
        return Linear(inputs, width)
    return nn.Sequential(Linear(inputs, inputs), nn.GELU(), Linear(inputs, width))


class FilterPair(nn.Module):
    """The filters of both sides, in the order of the pairs."""

    def __init__(self, shape: FilterShape) -> None:
        super().__init__()
        self.teacher = _side(shape, shape.teacher)
        self.student = _side(shape, shape.student)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FilterPair:
        return cls(FilterShape.from_json(config))


def _side(shape: FilterShape, inputs: int) -> nn.ModuleList:
    return nn.ModuleList(make_filter(inputs, shape.width, shape.nonlinear) for _ in shape.pairs)


def filters_slot(filters: FilterPair, shape: FilterShape, teacher: Slot) -> Slot:
    """Filters as a value that remembers by content which teacher they were learnt from."""
    return make_slot(filters, {**shape.to_json(), "learnt_from": teacher.content}, builder=_BUILDER)


def shape_in(models: Models) -> FilterShape:
    """The shape of the models' filters. Raises SpecError where teacher or student are others than they were."""
    config = models[SLOT].config
    shape = FilterShape.from_json(config)
    student = shape_of_slot(models["student"])
    deepest = max(s for _, s in shape.pairs)
    serves = shape.student == student.hidden and deepest <= student.depth
    if config["learnt_from"] != models["teacher"].content or not serves:
        raise SpecError(
            "filters serve the teacher and the layers that they were learnt from, but one of the two networks was "
            "replaced since; learn them again after it (ted:LearnFilters)."
        )
    return shape
