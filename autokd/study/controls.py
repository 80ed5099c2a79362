"""The two controls of every study: the finalist's shape, trained plainly for as many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd import build
from autokd.core.canonical import Json

DISTIL = "basics:Distil"
OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "fine-tune": {"use": "basics:Labels"},
    "logits": {"use": "basics:Logits"},
}
_PLAIN_FIELDS = ("batch_size", "optimizer", "warmup_share", "clip_norm", "dropout", "freeze_embeddings")


def control(pipeline: Mapping[str, Any], name: str, problem: str, further: float = 0.0) -> dict[str, Json]:
    """The control called ``name`` (``fine-tune``: labels only; ``logits``: the teacher's logits only) of a pipeline.

    Kept: the shared stages, the stages that make the student (its shape), and of the last distillation the optimizer,
    batch size, dropout and the like. Left out: every other stage, hooks, augmenters and samplers. The number of
    optimizer steps is that of all distillations of the pipeline together; one that never distils is compared with
    ``Distil`` as it is by default. ``further`` counts unlabelled rows per training row, which those see that have a
    teacher.
    """
    stages = list(pipeline["stages"])
    distils = [stage for stage in stages if stage["use"] == DISTIL] or [{"use": DISTIL, **build.defaults(DISTIL)}]
    last = distils[-1]
    objective = dict(OBJECTIVES[name])
    if name == "logits" and problem == "regression":
        objective["form"] = "mse"
    plain = {
        "use": DISTIL,
        "objectives": [objective],
        "epochs": sum(_steps(stage, further) for stage in distils) * last["batch_size"] / _rows(objective, further),
        **{field: last[field] for field in _PLAIN_FIELDS if field in last},
    }
    kept = [stage for stage in stages if stage["use"] != DISTIL and _makes_student(stage)]
    return {
        "stages": [build.resolved(stage) for stage in [*kept, plain]],
        "form": pipeline.get("form", "float32"),
    }


def _makes_student(stage: Mapping[str, Any]) -> bool:
    method = build.build(stage)
    makes = "student" in method.facts.gives and "student_init" not in method.facts.needs
    return makes or bool(getattr(method, "shared", False))


def _steps(stage: Mapping[str, Any], further: float) -> float:
    """Optimizer steps per training row: epochs over all rows that the stage sees, divided by the batch size."""
    factor = max(_rows(objective, further) for objective in stage["objectives"])
    for augmenter in stage.get("augmenters", ()):
        method = build.build(augmenter)
        if hasattr(method, "expand"):
            factor *= float(getattr(method, "factor", 1.0))
    return float(stage["epochs"]) * factor / float(stage["batch_size"])


def _rows(objective: Mapping[str, Any], further: float) -> float:
    """Rows that a distillation with this objective sees, per training row."""
    return 1.0 + further if "teacher" in build.build(objective).facts.needs else 1.0
