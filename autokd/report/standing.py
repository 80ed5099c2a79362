"""How the confirmed students stand to the teacher and to the controls: points of a chart, and sentences.

Every score here is a test score of the confirm phase; ``share`` is a ratio to the teacher.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autokd.core.objectives import MEASURED
from autokd.core.record import Finalist, Form, Teacher
from autokd.core.result import StudyResult
from autokd.report.facts import shown_fields
from autokd.report.pipelines import Field, one_line
from autokd.report.quantities import ms, times

PointKind = Literal["finalist", "control", "teacher"]
_SMALLEST = {"latency": "fastest", "params": "smallest", "size_bytes": "smallest"}
_ALIKE = 0.01  # shapes whose costs are nearer than this share are compared as one
COSTS = ("macs", "params", "latency", "size_bytes")  # by the names of objectives


@dataclass(frozen=True)
class Point:
    """A network with a test score: a finalist, a control, or the teacher (whose interval is not measured).

    ``costs`` and ``share`` hold what was measured: ``macs`` and ``params`` always, ``latency`` (median, ms) and
    ``size_bytes`` of what was deployed. ``active_params`` are those that one token meets, None where that is all.
    """

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
    form: str = ""
    latency_p90_ms: float | None = None
    speedup: float | None = None
    active_params: float | None = None


def points(result: StudyResult) -> list[Point]:
    """The teacher, the confirmed finalists by rising cost, and the controls."""
    shown = shown_fields(result)
    cost = cost_axes(result)[0]
    finalists = [_point(result, finalist, "finalist", shown) for finalist in result.front]
    return [
        *([_teacher_point(result.teacher)] if result.teacher is not None else []),
        *by_cost(finalists, cost),
        *(_point(result, control, "control", shown) for control in result.controls),
    ]


def by_cost(group: list[Point], cost: str) -> list[Point]:
    """Points by a rising cost; those without it come last."""
    return sorted(group, key=lambda point: point.costs.get(cost, float("inf")))


def cost_axes(result: StudyResult) -> list[str]:
    """The costs to draw test scores against: those that the search minimised first, then what else is known."""
    measured = {name for finalist in result.front for name in _costs(finalist)}
    return _axes(result, {"macs", "params", *measured})


def tried_axes(result: StudyResult) -> list[str]:
    """The costs to draw trials' validation scores against, in the same order."""
    measured = {name for record in result.records for name in COSTS if MEASURED[name] in record.values}
    return _axes(result, {"macs", "params", *measured})


def verdict(result: StudyResult) -> list[str]:
    """What came out, in sentences; every score in them is a test score of the confirm phase."""
    found = points(result)
    finalists = [p for p in found if p.kind == "finalist"]
    if not finalists:
        return ["No student has been confirmed yet: the figures below are validation scores of single runs."]
    best = max(finalists, key=lambda p: p.test_score)
    small = by_cost(finalists, cost_axes(result)[0])[0]
    sentences = [_against_teacher("The best student", best)]
    if small.label != best.label:
        sentences.append(_against_teacher(f"The {_SMALLEST.get(cost_axes(result)[0], 'cheapest')}", small))
    named = {finalist.name or str(finalist.trial): finalist for finalist in result.front}
    sentences += _fastest("The best student", named[best.label])
    controls = [p for p in found if p.kind == "control"]
    return sentences + [_against_control(best, control) for control in controls]


def fastest_form(finalist: Finalist) -> Form | None:
    """The runtime that a finalist is fastest in, None where it was not deployed."""
    return next((form for form in finalist.forms if form.runtime == finalist.fastest), None)


def _axes(result: StudyResult, known: set[str]) -> list[str]:
    asked = [name for name in result.settings.objectives if name in COSTS and name in known]
    return asked + [name for name in COSTS if name in known and name not in asked]


def _against_teacher(name: str, point: Point) -> str:
    score = f"{name} (trial {point.label}) scores {point.test_score:.3f}"
    if point.kept is None or not point.share:
        return score + "."
    cost = f"{point.share['macs']:.1%} of its MACs and {point.share['params']:.1%} of its parameters"
    return f"{score}: {point.kept:.0%} of the teacher's score with {cost}."


def _fastest(name: str, finalist: Finalist) -> list[str]:
    """How fast the fastest runtime is, beside the teacher; nothing where that was not measured."""
    form, teacher = fastest_form(finalist), finalist.teacher_latency_ms
    if form is None or teacher is None:
        return []
    told = f"{name} is fastest in {form.runtime}: a call takes {ms(form.latency_ms)}, one of the teacher {ms(teacher)}"
    return [f"{told} ({times(teacher / form.latency_ms)})."]


def _against_control(best: Point, control: Point) -> str:
    if not all(math.isclose(best.costs[name], control.costs[name], rel_tol=_ALIKE) for name in ("macs", "params")):
        share = control.costs["macs"] / best.costs["macs"]
        scores = f"it scores {control.test_score:.3f}, with {share:.2f} times the MACs"
        return f"The control {control.label} has another student's shape than the best: {scores}."
    apart = best.low is not None and control.high is not None and best.low > control.high
    below = best.high is not None and control.low is not None and best.high < control.low
    word = "above" if best.test_score >= control.test_score else "below"
    certain = "; the intervals do not overlap" if apart or below else "; the intervals overlap, so this may be chance"
    difference = abs(best.test_score - control.test_score)
    if difference < 0.0005:
        return f"The best student is level with the control {control.label}."
    return f"The best student is {difference:.3f} {word} the control {control.label}{certain}."


def _teacher_point(teacher: Teacher) -> Point:
    costs = {"macs": teacher.macs, "params": teacher.params} | _deployed_costs(teacher)
    return Point(
        kind="teacher",
        label=teacher.name,
        test_score=teacher.test_score,
        valid_score=teacher.valid_score,
        low=None,
        high=None,
        costs=costs,
        share=dict.fromkeys(costs, 1.0),
        kept=1.0,
        n_seeds=1,
        pipeline="",
        checkpoint="",
        latency_p90_ms=teacher.latency_p90_ms,
    )


def _point(result: StudyResult, finalist: Finalist, kind: PointKind, shown: frozenset[Field]) -> Point:
    costs = _costs(finalist)
    share: dict[str, float] = {}
    kept = None
    if result.teacher is not None:
        against = _teacher_point(result.teacher).costs
        share = {name: value / against[name] for name, value in costs.items() if against.get(name)}
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
        form=finalist.form,
        latency_p90_ms=finalist.latency_p90_ms,
        speedup=finalist.speedup,
        active_params=active_params(result, finalist),
    )


def active_params(result: StudyResult, finalist: Finalist) -> float | None:
    """The parameters that one token meets in a finalist, None where they are all that are stored (or not known)."""
    trial = next((record for record in result.records if record.number == finalist.trial), None)
    active = None if trial is None else trial.values.get("active_params")
    return active if active is not None and active < finalist.params else None


def _costs(finalist: Finalist) -> dict[str, float]:
    return {"macs": finalist.macs, "params": finalist.params} | _deployed_costs(finalist)


def _deployed_costs(network: Finalist | Teacher) -> dict[str, float]:
    """Latency and size where they were measured; a size of 0 is that of a study from before sizes were kept."""
    found = {"latency": network.latency_ms, "size_bytes": network.size_bytes or None}
    return {name: value for name, value in found.items() if value is not None}
