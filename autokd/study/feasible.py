"""Whether a space has pipelines that keep a study's constraints, as far as shapes tell before anything has run."""

from __future__ import annotations

from dataclasses import replace

from autokd.core.errors import UsageError
from autokd.core.objectives import Constraint
from autokd.core.settings import StudySettings
from autokd.space import Space
from autokd.study.appraise import Appraisal, Appraiser
from autokd.study.candidates import Candidates


def require_feasible(settings: StudySettings, space: Space, appraiser: Appraiser) -> None:
    """Raises UsageError where every pipeline that was looked at is known to break a constraint."""
    if not settings.constraints or _first(Candidates(space, settings, appraiser)):
        return
    free = Candidates(space, replace(settings, constraints=()), appraiser)
    legal = [*free.legal(), *_first(free)]
    bounds = [Constraint.parse(text) for text in settings.constraints]
    told = "; ".join(text for bound in bounds if (text := _nearest(bound, legal)))
    raise UsageError(
        f"a space needs a pipeline that keeps the constraints {', '.join(settings.constraints)}, "
        f"but {space.name!r} has none: {told or 'they exclude each other'}."
    )


def _first(candidates: Candidates) -> list[Appraisal]:
    found = candidates.draw((), (), lambda appraisal, spent: True)
    return [] if found is None else [found.appraisal]


def _nearest(bound: Constraint, legal: list[Appraisal]) -> str:
    """How near the pipelines come to a bound that all of them break, empty where one keeps it or nothing is known."""
    values = [appraisal.values[bound.name] for appraisal in legal if bound.name in appraisal.values]
    if not values or any((bound.excess({bound.name: value}) or 0.0) <= 0 for value in values):
        return ""
    best = min(values) if bound.upper else max(values)
    return f"{bound.name} is {best:,.0f} at {'least' if bound.upper else 'most'}"
