"""How the confirmed students stand to the teacher and to the controls: points of a chart, and sentences.

Every figure here is a test score of the confirm phase; ``share`` is a ratio to the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autokd.core.record import Finalist, Teacher
from autokd.core.result import StudyResult
from autokd.report.facts import shown_fields
from autokd.report.pipelines import Field, one_line

PointKind = Literal["finalist", "control", "teacher"]
COSTS = ("macs", "params")


@dataclass(frozen=True)
class Point:
    """A network with a test score: a finalist, a control, or the teacher (whose interval is not measured)."""

    kind: PointKind
    label: str
    test_score: float
    valid_score: float
    low: float | None
    high: float | None
    costs: Mapping[str, float]
    share: Mapping[str, float]  # of the teacher's costs
    kept: float | None  # share of the teacher's test score; None where that is not above zero
    n_seeds: int
    pipeline: str
    checkpoint: str


def points(result: StudyResult) -> list[Point]:
    """The teacher, the confirmed finalists by rising cost, and the controls."""
    shown = shown_fields(result)
    cost = cost_axes(result)[0]
    front = sorted(result.front, key=lambda finalist: float(getattr(finalist, cost)))
    return [
        *([_teacher_point(result.teacher)] if result.teacher is not None else []),
        *(_point(result, finalist, "finalist", shown) for finalist in front),
        *(_point(result, control, "control", shown) for control in result.controls),
    ]


def cost_axes(result: StudyResult) -> list[str]:
    """The costs to draw scores against, those that the search minimised first."""
    asked = [name for name in result.settings.objectives if name in COSTS]
    return asked + [name for name in COSTS if name not in asked]


def verdict(result: StudyResult) -> list[str]:
    """What came out, in sentences; every figure in them is a test score of the confirm phase."""
    finalists = [p for p in points(result) if p.kind == "finalist"]
    if not finalists:
        return ["No student has been confirmed yet: the figures below are validation scores of single runs."]
    best = max(finalists, key=lambda p: p.test_score)
    small = min(finalists, key=lambda p: p.costs["macs"])
    sentences = [_against_teacher("The best student", best)]
    if small.label != best.label:
        sentences.append(_against_teacher("The cheapest", small))
    controls = [p for p in points(result) if p.kind == "control"]
    return sentences + [_against_control(best, control) for control in controls]


def _against_teacher(name: str, point: Point) -> str:
    score = f"{name} (trial {point.label}) scores {point.test_score:.3f}"
    if point.kept is None or not point.share:
        return score + "."
    cost = f"{point.share['macs']:.1%} of its MACs and {point.share['params']:.1%} of its parameters"
    return f"{score}: {point.kept:.0%} of the teacher's score with {cost}."


def _against_control(best: Point, control: Point) -> str:
    apart = best.low is not None and control.high is not None and best.low > control.high
    below = best.high is not None and control.low is not None and best.high < control.low
    word = "above" if best.test_score >= control.test_score else "below"
    certain = "; the intervals do not overlap" if apart or below else "; the intervals overlap, so this may be chance"
    difference = abs(best.test_score - control.test_score)
    if difference < 0.0005:
        return f"The best student is level with the control {control.label}."
    return f"The best student is {difference:.3f} {word} the control {control.label}{certain}."


def _teacher_point(teacher: Teacher) -> Point:
    return Point(
        kind="teacher",
        label=teacher.name,
        test_score=teacher.test_score,
        valid_score=teacher.valid_score,
        low=None,
        high=None,
        costs={"macs": teacher.macs, "params": teacher.params},
        share={"macs": 1.0, "params": 1.0},
        kept=1.0,
        n_seeds=1,
        pipeline="",
        checkpoint="",
    )


def _point(result: StudyResult, finalist: Finalist, kind: PointKind, shown: frozenset[Field]) -> Point:
    costs = {"macs": finalist.macs, "params": finalist.params}
    share: dict[str, float] = {}
    kept = None
    if result.teacher is not None:
        share = {"macs": finalist.macs / result.teacher.macs, "params": finalist.params / result.teacher.params}
        kept = finalist.test_score / result.teacher.test_score if result.teacher.test_score > 0 else None
    return Point(
        kind=kind,
        label=finalist.name or str(finalist.trial),
        test_score=finalist.test_score,
        valid_score=finalist.valid_score,
        low=finalist.test_low,
        high=finalist.test_high,
        costs=costs,
        share=share,
        kept=kept,
        n_seeds=finalist.n_seeds,
        pipeline=one_line(finalist.pipeline, shown),
        checkpoint=finalist.checkpoint,
    )
