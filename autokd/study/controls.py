"""The two controls of every study: the finalist's shape, trained plainly for as many steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autokd import build
from autokd.contracts import ReshapingHook, TextAugmenter
from autokd.core.canonical import Json

DISTIL = "basics:Distil"
OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "fine-tune": {"use": "basics:Labels"},
    "logits": {"use": "basics:Logits"},
}
_PLAIN_FIELDS = ("batch_size", "optimizer", "warmup_share", "clip_norm", "dropout", "freeze_embeddings")


def control(
    pipeline: Mapping[str, Any], name: str, problem: str, further: float = 0.0, rows: int = 0
) -> dict[str, Json]:
    """The control called ``name`` (``fine-tune``: labels only; ``logits``: the teacher's logits only) of a pipeline.

    Kept: the shared stages, what makes the student's shape (stages, and hooks that cut it), and of each distillation
    that cuts and of the last one the optimizer, batch size, dropout and the like. Left out: every other stage, hooks,
    augmenters and samplers. The number of optimizer steps is that of all distillations of the pipeline together; one
    that never distils is compared with ``Distil`` as it is by default. ``further`` counts unlabelled rows per training
    row, which those see that have a teacher. ``rows`` is the number of training rows, by which steps of batches that
    are not full are counted; 0: not known.
    """
    stages = list(pipeline["stages"])
    if not any(stage["use"] == DISTIL for stage in stages):
        stages.append({"use": DISTIL, **build.defaults(DISTIL)})
    last = next(stage for stage in reversed(stages) if stage["use"] == DISTIL)
    objective = dict(OBJECTIVES[name])
    if name == "logits" and problem == "regression":
        objective["form"] = "mse"

    def plain(like: Mapping[str, Any], steps: float, hooks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        fields = {field: like[field] for field in _PLAIN_FIELDS if field in like}
        epochs = steps / _steps_per_epoch(_rows(objective, further), like["batch_size"], rows)
        return {"use": DISTIL, "objectives": [objective], "hooks": list(hooks), "epochs": epochs, **fields}

    kept, steps = [], 0.0
    cuts = _cuts(stages)
    for position, stage in enumerate(stages):
        if stage["use"] != DISTIL:
            kept += [stage] if _makes_student(stage) else []
            continue
        steps += _steps(stage, further, rows)
        if position in cuts:
            kept.append(plain(stage, steps, cuts[position]))
            steps = 0.0
    if steps > 0:
        kept.append(plain(last, steps, ()))
    return {"stages": [build.resolved(stage) for stage in kept], "form": pipeline.get("form", "float32")}


def _cuts(stages: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """By position, the hooks that cut the student that the pipeline ends with: those after it was made or rewound."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for position, stage in enumerate(stages):
        facts = build.build(stage).facts
        if "student" in facts.gives and "student" not in facts.needs:
            found.clear()
        hooks = [hook for hook in stage.get("hooks", ()) if isinstance(build.build(hook), ReshapingHook)]
        if hooks:
            found[position] = hooks
    return found


def _makes_student(stage: Mapping[str, Any]) -> bool:
    method = build.build(stage)
    makes = "student" in method.facts.gives and "student_init" not in method.facts.needs
    return makes or bool(getattr(method, "shared", False))


def _steps(stage: Mapping[str, Any], further: float, rows: int) -> float:
    """Optimizer steps of a stage, per training row where the number of rows is not known."""
    factor = max(_rows(objective, further) for objective in stage["objectives"])
    if any(isinstance(build.build(augmenter), TextAugmenter) for augmenter in stage.get("augmenters", ())):
        factor *= 2
    return float(stage["epochs"]) * _steps_per_epoch(factor, stage["batch_size"], rows)


def _steps_per_epoch(factor: float, batch_size: int, rows: int) -> float:
    """Steps over ``factor`` times the training rows."""
    return math.ceil(round(factor * rows) / batch_size) if rows else factor / batch_size


def _rows(objective: Mapping[str, Any], further: float) -> float:
    """Rows that a distillation with this objective sees, per training row."""
    return 1.0 + further if "teacher" in build.build(objective).facts.needs else 1.0
