"""A trial's checkpoint as a folder to deploy, with what the study knows of it."""

from __future__ import annotations

from pathlib import Path

from autokd.contracts import Rows
from autokd.core.task import Split, Task
from autokd.deploy.card import CARD_FILE, CardFacts, fewer
from autokd.deploy.export import Exported, export_checkpoint
from autokd.deploy.folders import is_own
from autokd.engine.rows import encode
from autokd.measure.metrics import find_metric
from autokd.study.result import Study
from autokd.study.shipping import Shipped
from autokd.tasks.frozen import thaw


def export_trial(
    study: Study, shipped: Shipped, output: Path, form: str, *, trust_remote_code: bool = False
) -> Exported:
    """Write a checkpoint in one of the forms, compared with the study's own on the validation rows.

    Raises as ``export_checkpoint``; DataError where the study's frozen task is gone.
    """
    settings = study.settings
    task = thaw(Path(settings.task))

    def rows(split: Split) -> Rows:
        return encode(split, shipped.checkpoint, settings.max_length, task.problem)

    deployed = (shipped.checkpoint / CARD_FILE).is_file()
    return export_checkpoint(
        shipped.checkpoint,
        output,
        form,
        rows=rows(task.valid),
        metric=find_metric(task.metric),
        calibration=rows(task.train) if form == "onnx-int8" else None,
        card=None if deployed else card_facts(study, shipped, task),
        trust_remote_code=trust_remote_code or settings.trust_remote_code,
    )


def card_facts(study: Study, shipped: Shipped, task: Task) -> CardFacts:
    """What the model card of a trial says that was not deployed by its study."""
    settings, confirmed = study.settings, shipped.finalist
    record = next((record for record in study.records if record.number == shipped.trial), None)
    values = {} if record is None else dict(record.values)
    models = [stage["model"] for stage in shipped.pipeline.get("stages", ()) if isinstance(stage.get("model"), str)]
    return CardFacts(
        name=f"{settings.study}, trial {shipped.trial}",
        data=settings.task_name,
        metric=settings.metric,
        problem=task.problem,
        label_names=task.label_names if task.problem == "classification" else (),
        pipeline=shipped.pipeline,
        teacher=models[0] if models else ", ".join(settings.teachers),
        valid_score=shipped.valid_score,
        test_score=confirmed.test_score if confirmed else None,
        test_low=confirmed.test_low if confirmed else None,
        test_high=confirmed.test_high if confirmed else None,
        params=values.get("params"),
        active_params=fewer(values.get("active_params"), values.get("params")),
        macs=values.get("macs"),
        teacher_test_score=study.teacher.test_score if study.teacher else None,
        max_length=settings.max_length,
        n_train=settings.train_rows,
        n_seeds=confirmed.n_seeds if confirmed else 1,
        needs_autokd=is_own(shipped.checkpoint),
        kind=task.kind,
        notes=study.notes,
    )
