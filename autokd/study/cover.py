"""A covering set: a few pipelines that together use every method of a space that a study can run.

A sampler that learns from its first trials may never look at a method again that it has not tried; studies that are
to say something of every method begin with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autokd.core.errors import SpecError
from autokd.core.holes import Choice, Hole
from autokd.space import Space
from autokd.study.appraise import Appraisal, Appraiser

Params = Mapping[str, Any]
Legal = Callable[[Params], Appraisal | None]


@dataclass(frozen=True)
class Cover:
    """``chosen``: parameters of each pipeline with its appraisal. ``missed``: addresses of methods in none of them."""

    chosen: tuple[tuple[Params, Appraisal], ...]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class _Bin:
    """A pipeline that is being filled: the values that are not their hole's first one, and what it uses."""

    fixed: Params
    params: Params
    appraisal: Appraisal
    uses: frozenset[str]


def covering(space: Space, appraiser: Appraiser) -> Cover:
    """Legal pipelines that together use every method, each of them short and small: a choice that no method needs
    has its first option, a range its middle.

    Each method is added to the pipeline with the fewest methods that can take it, and begins one of its own where none
    can. Deterministic. ``missed`` are methods that no legal pipeline was found for: those whose models are not at
    hand, for example.
    """

    def legal(params: Params) -> Appraisal | None:
        try:
            return appraiser.appraise(space.decode(params))
        except SpecError:
            return None

    bins: list[_Bin] = []
    covered: frozenset[str] = frozenset()
    for _, _, params in space.examples():
        new = _uses(space, params) - covered
        if new and (place := _placed(space, params, bins, legal)) is not None:
            index, filled = place
            bins[index : index + 1] = [filled]
            covered |= filled.uses
    return Cover(tuple((one.params, one.appraisal) for one in bins), tuple(sorted(space.uses() - covered)))


def _placed(space: Space, params: Params, bins: list[_Bin], legal: Legal) -> tuple[int, _Bin] | None:
    """Where the methods of these parameters go, and the pipeline with them; None where they are not legal anywhere."""
    own, wanted = _fixed(space, params), _uses(space, params)
    for index in (*sorted(range(len(bins)), key=lambda i: len(bins[i].uses)), len(bins)):
        fixed, kept = (bins[index].fixed, bins[index].uses) if index < len(bins) else ({}, frozenset())
        filled = _filled(space, {**own, **fixed})
        uses = _uses(space, filled)
        if uses >= wanted | kept and (appraisal := legal(filled)) is not None:
            return index, _Bin({**own, **fixed}, filled, appraisal, uses)
    return None


def _filled(space: Space, fixed: Params) -> dict[str, Any]:
    """The assignment with these values where their holes are active, elsewhere the first option and the middle."""

    def choose(hole: Hole) -> Any:
        return fixed.get(hole.name, hole.first if isinstance(hole, Choice) else hole.middle)

    return space.sample(choose)


def _fixed(space: Space, params: Params) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value != space.hole(name).first}


def _uses(space: Space, params: Params) -> frozenset[str]:
    return frozenset(_used(space.decode(params)))


def _used(value: Any) -> Iterator[str]:
    """Addresses of the methods in a pipeline's JSON."""
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            yield value["use"]
        for inner in value.values():
            yield from _used(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _used(inner)
