"""Shared prefixes: leading stages that all trials of a study run alike, made once, written once, never changed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from autokd import build
from autokd.contracts import Models
from autokd.core.canonical import digest
from autokd.core.errors import TrainingError
from autokd.core.job import Job, Outcome, Progress, TrialSpec
from autokd.engine.evaluate import predict
from autokd.measure.metrics import find_metric
from autokd.models.folders import folder_content
from autokd.models.slots import build as build_slot
from autokd.models.slots import shape_of_slot
from autokd.pipeline import Pipeline, task_facts
from autokd.runner.position import Curve
from autokd.runner.tokenizers import fetch_slot, keep_slot
from autokd.runner.watch import Watch
from autokd.runner.workspace import Workspace, job_device, load_task

_FOLDER = "prefixes"
_WHOLE = "prefix.json"  # lies in a prefix's folder, which appears whole or not at all


def prefix_key(spec: TrialSpec, n_stages: int | None = None) -> str:
    """The name of the artifact that a pipeline's shared stages (the first ``n_stages`` of them) make: everything that
    decides its content.

    Shared stages always run as replicate 0, so that all seeds of a pipeline have one teacher.
    """
    pipeline = Pipeline.from_json(spec.pipeline)
    n_stages = pipeline.n_shared if n_stages is None else n_stages
    shared = pipeline.stages[:n_stages]
    models = (*Pipeline(shared).base_models(), *Pipeline(shared).assets()) if shared else ()
    return digest(
        {
            "stages": [build.to_json(stage) for stage in shared],
            "versions": pipeline.versions(n_stages),
            "seed": spec.seed,
            "precision": spec.precision,
            "max_length": spec.max_length,
            "task": load_task(spec.task).content,
            "bases": {name: folder_content(spec.assets[name]) for name in models},
        }
    )


def prefix_folder(spec: TrialSpec, n_stages: int | None = None) -> Path:
    """Where the prefix of a spec lies, or will lie."""
    return Path(spec.cache) / _FOLDER / prefix_key(spec, n_stages)


def prefix_ready(spec: TrialSpec) -> bool:
    """Whether the shared stages of a spec have been made."""
    return is_made(Path(spec.cache), prefix_key(spec))


def is_made(cache: Path, key: str) -> bool:
    """Whether the prefix of this name lies in a cache."""
    return (cache / _FOLDER / key / _WHOLE).is_file()


def load_prefix(spec: TrialSpec, n_stages: int | None = None) -> tuple[Models, float]:
    """The models that the shared stages made, and the device seconds they cost. Raises TrainingError if absent."""
    folder = prefix_folder(spec, n_stages)
    if not (folder / _WHOLE).is_file():
        raise TrainingError(
            f"the shared stages of this pipeline must be made before its trials, but {folder} is missing."
        )
    found = json.loads((folder / _WHOLE).read_text())
    slots = {name: fetch_slot(folder / place, spec.assets) for name, place in found["slots"].items()}
    return Models(slots), float(found["device_seconds"])


def prefix_values(spec: TrialSpec, n_stages: int | None = None) -> dict[str, float]:
    """What was measured of the teacher that the shared stages of a spec made."""
    found: dict[str, float] = json.loads((prefix_folder(spec, n_stages) / _WHOLE).read_text())["values"]
    return found


def run_prefix(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Run a pipeline's shared stages and keep what each of them made; score the teacher on validation and test.

    Begins behind those that are made already, by this study or another one: a longer prefix pays for what it adds.
    """
    spec, watch = job.spec, Watch(Path(job.folder), job.deadline_seconds)
    workspace = Workspace(spec, job_device(job.device))
    pipeline = Pipeline.from_json(spec.pipeline)
    pipeline.check(task_facts(workspace.task), workspace.bases(pipeline))
    begun = next((n for n in range(pipeline.n_shared, 0, -1) if (prefix_folder(spec, n) / _WHOLE).is_file()), 0)
    models, before = load_prefix(spec, begun) if begun else (Models(), 0.0)
    values = prefix_values(spec, begun) if begun else {}
    curve = Curve(Path(job.folder))
    for position in range(begun, pipeline.n_shared):
        stage, teacher = pipeline.stages[position], models.get("teacher")

        def told(step: int, score: float, position: int = position) -> None:
            progress = Progress(position, step, score, watch.seconds)
            curve.add(progress)
            report(progress)

        name = build.address_of(type(stage))
        loop = Path(job.folder) / f"loop-{position}"
        context = workspace.context(name, loop, replicate=0, report=told, should_pause=watch.should_pause)
        models = stage.run(models, context)
        if teacher is None or models["teacher"].content != teacher.content:
            values = teacher_values(workspace, models)
        facts = {"device_seconds": before + watch.seconds * job.devices, "values": values}
        _write(spec, position + 1, models, facts)
        shutil.rmtree(loop, ignore_errors=True)
    shared = Pipeline(pipeline.stages[: pipeline.n_shared])
    costs, _ = shared.stage_costs(workspace.sizes(models["dense_teacher"]))
    macs = sum(cost.macs for cost in costs[begun:])
    return Outcome("complete", 0.0, values=values, curve=tuple(curve.points), trained_macs=macs)


def teacher_values(workspace: Workspace, models: Models) -> dict[str, float]:
    """Scores, parameters and multiply-accumulates of the teacher. Its test score decides nothing."""
    slot = models["teacher"]
    network = build_slot(slot).to(workspace.device)
    metric = find_metric(workspace.task.metric)
    scores = {}
    for split, rows in (
        ("valid", workspace.rows("valid", slot)),
        ("test", workspace.encode(workspace.task.test, slot)),
    ):
        logits = predict(network, rows, workspace.device, torch.float32).cpu().numpy()
        scores[f"{split}_score"] = metric.score(logits, rows.labels.numpy())
    macs = shape_of_slot(slot).macs(workspace.median_length(slot))
    params = float(sum(tensor.numel() for tensor in slot.weights.values() if tensor.is_floating_point()))
    return {**scores, "params": params, "macs": macs}


def _write(spec: TrialSpec, n_stages: int, models: Models, facts: dict[str, object]) -> None:
    """All or nothing: the folder appears under its name only when it is whole."""
    folder, shared = prefix_folder(spec, n_stages), Pipeline(Pipeline.from_json(spec.pipeline).stages[:n_stages])
    # These alone have the same names in every study that shares the prefix.
    assets = {name: spec.assets[name] for name in (*shared.base_models(), *shared.assets())}
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    places: dict[str, str] = {}
    by_content: dict[str, str] = {}
    for name, slot in models.items():
        if slot.content not in by_content:
            keep_slot(slot, part / name, assets)
            by_content[slot.content] = name
        places[name] = by_content[slot.content]
    (part / _WHOLE).write_text(json.dumps({**facts, "slots": places}))
    if not (folder / _WHOLE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    try:
        part.replace(folder)
    except OSError:
        shutil.rmtree(part)
        if not (folder / _WHOLE).is_file():  # else another owner finished first, with the same content
            raise
