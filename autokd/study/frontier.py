"""The frontier of trials, and in which order its members deserve to be confirmed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from autokd.core.objectives import MEASURED, pareto
from autokd.core.record import TrialRecord
from autokd.core.settings import OBJECTIVES

SEARCHED = ("search", "random", "enqueued", "imported")
_LEAST_COST = 1e-6  # costs are compared on a logarithmic scale

Point = tuple[float, ...]


def point(values: Mapping[str, float], objectives: Sequence[str]) -> Point:
    """A result as a point of which every coordinate is to be small."""
    return tuple(
        -values[MEASURED[name]] if OBJECTIVES[name] == "maximize" else values[MEASURED[name]] for name in objectives
    )


def dominates(one: Point, other: Point) -> bool:
    """At least as good in everything, and better in something."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def frontier(records: Sequence[TrialRecord], objectives: Sequence[str]) -> tuple[TrialRecord, ...]:
    """Complete, feasible search trials that no other one dominates, best score first; of equals the first."""
    trials = [r for r in records if r.state == "complete" and r.role in SEARCHED and r.feasible]
    best = pareto([[r.values[MEASURED[name]] for name in objectives] for r in trials], objectives)
    kept: dict[Point, TrialRecord] = {}
    for record in sorted((trials[i] for i in best), key=lambda r: r.number):
        kept.setdefault(point(record.values, objectives), record)
    return tuple(sorted(kept.values(), key=lambda r: (-r.values["valid_score"], *point(r.values, objectives))))


def ranked(front: Sequence[TrialRecord], objectives: Sequence[str], most: int) -> tuple[TrialRecord, ...]:
    """The ``most`` members of a frontier that are most worth confirming, in this order: the best score, then whichever
    adds most to the volume that the chosen ones dominate (costs on a logarithmic scale)."""
    if not front:
        return ()
    best = max(front, key=lambda r: (r.values["valid_score"], [-v for v in point(r.values, objectives)]))
    unit = _unit_points(front, objectives)
    chosen, rest = [best], [r for r in front if r.number != best.number]
    while rest and len(chosen) < most:
        taken = [unit[r.number] for r in chosen]
        following = max(rest, key=lambda r: (volume([*taken, unit[r.number]]), -r.number))
        chosen.append(following)
        rest.remove(following)
    return tuple(chosen)


def volume(points: Sequence[Point]) -> float:
    """The volume that points of the unit cube dominate below the corner (1, ..., 1), by slicing the last axis."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return 1.0 - min(p[0] for p in points)
    levels = sorted({p[-1] for p in points} | {1.0})
    total = 0.0
    for low, high in pairwise(levels):
        total += (high - low) * volume([p[:-1] for p in points if p[-1] <= low])
    return total


def _unit_points(front: Sequence[TrialRecord], objectives: Sequence[str]) -> dict[int, Point]:
    """Points scaled to [0, 1] by the frontier's own extent: the worst of each coordinate is 1."""
    raw = {}
    for record in front:
        coordinates = point(record.values, objectives)
        raw[record.number] = tuple(
            value if OBJECTIVES[name] == "maximize" else math.log(max(value, _LEAST_COST))
            for name, value in zip(objectives, coordinates, strict=True)
        )
    lows = [min(axis) for axis in zip(*raw.values(), strict=True)]
    highs = [max(axis) for axis in zip(*raw.values(), strict=True)]
    spans = [(low, high - low or 1.0) for low, high in zip(lows, highs, strict=True)]
    return {
        number: tuple((value - low) / span for value, (low, span) in zip(coordinates, spans, strict=True))
        for number, coordinates in raw.items()
    }
