"""One trial: the stages after the shared prefix, the gate, and what was measured on the reloaded checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from autokd import build
from autokd.contracts import Cost, Models, Slot
from autokd.core.job import Job, Outcome, Progress
from autokd.core.json_files import write_json
from autokd.core.paths import portable
from autokd.core.shape import speed_key
from autokd.deploy.folders import exported_as, runtime_folder
from autokd.deploy.gate import admit, save_predictions
from autokd.models.slots import shape_of_slot
from autokd.pipeline import Pipeline, task_facts
from autokd.runner.forms import TRAINED, Forms, read_trained, usable_tokenizer
from autokd.runner.position import Curve, Position, clear_positions, load_position, save_position
from autokd.runner.prefix import load_prefix
from autokd.runner.tokenizers import tokenizer_name
from autokd.runner.watch import Watch
from autokd.runner.workspace import Workspace, job_device


def run_trial(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Run or continue a trial. Jobs of kind ``confirm`` and ``control`` also open the test split.

    A folder that already holds the finished trial is not trained again: only what is missing is measured.
    """
    folder, watch = Path(job.folder), Watch(Path(job.folder), job.deadline_seconds)
    workspace = Workspace(job.spec, job_device(job.device))
    pipeline = Pipeline.from_json(job.spec.pipeline)
    pipeline.check(task_facts(workspace.task), workspace.bases(pipeline))
    shared, prefix_seconds = load_prefix(job.spec)
    costs, _ = pipeline.stage_costs(workspace.sizes(shared["dense_teacher"]))
    trained = read_trained(folder)
    if trained is None:
        curve = Curve(folder)

        def told(progress: Progress) -> None:
            curve.add(progress)
            report(progress)

        student = _run_stages(job, workspace, pipeline, costs, shared, watch, told)
        trained = {**_measure(job, workspace, student, pipeline.form), "curve": curve.points}
        _keep(folder, trained)
    values, predictions = dict(trained["values"]), dict(trained["predictions"])
    if job.kind in ("confirm", "control"):
        forms = Forms(folder, workspace, usable_tokenizer(folder, trained, workspace), job.threads)
        values["test_score"], predictions["test"] = _open_test(forms, pipeline.form)
    return Outcome(
        "complete",
        0.0,
        values=values,
        checkpoint=str(folder / "checkpoint"),
        predictions=predictions,
        curve=tuple(trained["curve"]),
        seconds_alone=watch.seconds + prefix_seconds / job.devices,
        trained_macs=sum(cost.macs for cost in costs[pipeline.n_shared :]),
        shape=trained.get("shape", ""),
    )


def _run_stages(
    job: Job,
    workspace: Workspace,
    pipeline: Pipeline,
    costs: Sequence[Cost],
    shared: Models,
    watch: Watch,
    report: Callable[[Progress], None],
) -> Slot:
    folder = Path(job.folder)
    position = load_position(folder, Position(pipeline.n_shared, shared), job.spec.assets)
    for index in range(position.done, len(pipeline.stages)):
        stage, loop = pipeline.stages[index], folder / f"loop-{index}"

        def told(step: int, score: float, index: int = index) -> None:
            report(Progress(index, step, score, watch.seconds))

        context = workspace.context(
            build.address_of(type(stage)),
            loop,
            replicate=job.spec.replicate,
            report=told,
            should_pause=watch.should_pause,
        )
        position.models = stage.run(position.models, context)
        position.done = index + 1
        if costs[index].macs > 0:  # what a stage that works has made is worth more than its loop's state
            save_position(folder, position, shared, job.spec.assets)
            shutil.rmtree(loop, ignore_errors=True)
    return position.models["student"]


def _measure(job: Job, workspace: Workspace, student: Slot, form: str) -> dict[str, Any]:
    folder = Path(job.folder)
    rows = workspace.rows("valid", student)
    admitted = admit(student, folder / "checkpoint", workspace.task, rows, max_length=workspace.spec.max_length)
    predictions = save_predictions(folder / "predictions", "valid", admitted.logits, rows.labels.numpy())
    shape = shape_of_slot(student)
    values = {
        "valid_score": admitted.score,
        "params": float(admitted.params),
        "active_params": float(shape.active_params()),
        "nonzero_params": float(_nonzero(student)),
        "macs": shape.macs(workspace.median_length(student)),
        "size_bytes": float(admitted.size_bytes),
    }
    method = ""
    if form == "onnx-int8":
        forms = Forms(folder, workspace, student.tokenizer, job.threads)
        values["float_valid_score"] = admitted.score
        values["valid_score"], predictions = forms.score(forms.open(form, threads=1), "valid", "valid")
        values["size_bytes"] = forms.size_bytes(form)
        method = str(exported_as(runtime_folder(forms.checkpoint, form)).get("quantization", ""))
    found = {"values": values, "predictions": {"valid": predictions}}
    tokenizer = tokenizer_name(student.tokenizer, workspace.spec.assets)
    return {**found, "tokenizer": tokenizer, "shape": speed_key(shape, form, method)}


def _nonzero(slot: Slot) -> int:
    return sum(int(torch.count_nonzero(value)) for value in slot.weights.values() if value.is_floating_point())


def _open_test(forms: Forms, form: str) -> tuple[float, str]:
    if form == "onnx-int8":
        return forms.score(forms.open(form, threads=1), "test", "test")
    return forms.score_checkpoint("test")


def _keep(folder: Path, facts: dict[str, Any]) -> None:
    """Mark the trial as trained; from here on its intermediate models are not needed."""
    write_json(folder / TRAINED, portable(facts, folder))
    clear_positions(folder)
