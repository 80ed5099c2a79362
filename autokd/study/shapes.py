"""What a study knows of speed and size by shape: measured once, true of every student of that shape and form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autokd.core.objectives import Constraint
from autokd.core.shape import KEY_PARTS

Shapes = Mapping[str, Mapping[str, Any]]  # by ``Outcome.shape``


def needs(name: str, objectives: Sequence[str], constraints: Sequence[str]) -> bool:
    """Whether a quantity (``latency``, ``size_bytes``) is an objective of the study, or bounded in it."""
    return name in objectives or any(Constraint.parse(text).name == name for text in constraints)


def teacher_of(pipeline: Mapping[str, Any]) -> str:
    """What a pipeline's teacher is called: by its base model, or by the first stage, which trains it from nothing."""
    named = (stage.get("model") for stage in pipeline["stages"])
    return next((model for model in named if isinstance(model, str)), str(pipeline["stages"][0]["use"]))


def latency_values(shapes: Shapes, shape: str, teacher: str, machine: str) -> dict[str, float] | None:
    """``latency_ms, latency_p90_ms, teacher_latency_ms, speedup`` beside a teacher on a machine; None: unmeasured."""
    found = _timed(shapes, shape, machine)
    if teacher not in found.get("teachers", {}):
        return None
    own = {name: float(found[name]) for name in ("latency_ms", "latency_p90_ms")}
    beside = float(found["teachers"][teacher])
    return {**own, "teacher_latency_ms": beside, "speedup": beside / own["latency_ms"]}


def known_values(shapes: Shapes, shape: str, machine: str) -> dict[str, float]:
    """What constraints may ask of a shape, as far as it was measured: ``latency_ms`` (on a machine), ``size_bytes``.

    Of an int8 shape whose method is not chosen yet it is the least that any of its methods was measured at.
    """
    every = [name for name in shapes if name == shape or name.startswith(f"{shape}{KEY_PARTS}")]
    found: dict[str, float] = {}
    for name in every:
        for key, value in {**shapes[name], **_timed(shapes, name, machine)}.items():
            if key in ("latency_ms", "size_bytes"):
                found[key] = min(float(value), found.get(key, float("inf")))
    return found


def with_latency(shapes: Shapes, shape: str, teacher: str, machine: str, values: Mapping[str, float]) -> dict[str, Any]:
    """The entry of a shape with a latency job's values. A shape keeps its first latency on a machine, whatever the
    teacher, so that trials of one shape compare as equal; a further teacher's is scaled to it."""
    known = _timed(shapes, shape, machine)
    first = {name: known.get(name, values[name]) for name in ("latency_ms", "latency_p90_ms")}
    teachers = {**known.get("teachers", {}), teacher: values["speedup"] * first["latency_ms"]}
    entry = dict(shapes.get(shape, {}))
    return {**entry, "timed": {**entry.get("timed", {}), machine: {**first, "teachers": teachers}}}


def _timed(shapes: Shapes, shape: str, machine: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shapes.get(shape, {}).get("timed", {}).get(machine, {})
    return found
