"""Deploying a trial that ships: every form is made, scored on validation and test, timed, and told in a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from autokd.core.errors import AutokdError, Paused
from autokd.core.job import Job, Outcome
from autokd.core.json_files import write_json
from autokd.core.latency import RUNTIMES
from autokd.core.task import Task
from autokd.deploy.card import CardFacts, CardForm, fewer, write_card
from autokd.deploy.folders import is_own
from autokd.deploy.forms import available_runtimes, folder_bytes, onnx_missing
from autokd.deploy.gate import load_predictions
from autokd.deploy.machine import timing_machine
from autokd.deploy.runtimes import Runtime
from autokd.engine.precision import best_precision
from autokd.measure.intervals import interval
from autokd.measure.metrics import find_metric
from autokd.pipeline import Pipeline
from autokd.runner.bench import Bench
from autokd.runner.prefix import prefix_values
from autokd.runner.watch import Watch

SECONDS = 12.0  # of timing four forms and the teacher
GRAPH_SECONDS = 3.0  # of timing a graph network, which has one form, and the teacher


def run_deploy(job: Job) -> Outcome:
    """Make, score and time the forms of the checkpoint in the job's folder.

    A form that cannot be made is left out with a note; what the pipeline ships in must be made. Forms and scores
    that an earlier sitting made are kept.
    """
    bench = Bench(job, Watch(Path(job.folder), job.deadline_seconds))
    values: dict[str, float] = {}
    students: dict[str, Runtime] = {}
    on_graph = bench.workspace.task.kind == "graph"
    notes = ["" if on_graph else onnx_missing(), *bench.teachers[1]]
    for runtime in _runtimes(bench):
        bench.watch.check()
        try:
            student = bench.forms.open(runtime, bench.spec.threads)
            values |= _scores(bench, runtime, student)
        except Paused:
            raise
        except Exception as error:  # libraries of other forms have errors of their own; the float model is not lost
            if runtime == _form_runtime(bench):
                raise
            told = str(error) if isinstance(error, AutokdError) else f"{type(error).__name__}: {error}"
            notes.append(f"{Path(job.folder).name}: no form for the runtime {runtime}: {told.splitlines()[0][:300]}")
            continue
        students[runtime] = student
    timings = bench.timed(students, GRAPH_SECONDS if on_graph else SECONDS)
    notes.append(bench.disturbance(timings))
    for runtime in students:
        timing = timings[runtime]
        values |= {f"{runtime}/latency_ms": timing.median_ms, f"{runtime}/latency_p90_ms": timing.p90_ms}
        values[f"{runtime}/size_bytes"] = bench.forms.size_bytes(runtime)
    ships = bench.ships if bench.ships in students else "torch"
    values |= {**bench.speed(timings, ships), "teacher_size_bytes": float(folder_bytes(bench.teacher))}
    write_card(bench.forms.checkpoint, card_facts(bench, values))
    return Outcome(
        "complete",
        0.0,
        values=values,
        checkpoint=str(bench.forms.checkpoint),
        notes=tuple(filter(None, notes)),
        timed_on=timing_machine(),
    )


def card_facts(bench: Bench, values: Mapping[str, float]) -> CardFacts:
    """What the model card tells of a deployed checkpoint, whose ``values`` are those of a deploy job."""
    spec, task, checkpoint = bench.job.spec, bench.workspace.task, bench.forms.checkpoint
    form = _form_runtime(bench)
    labels_and_logits = load_predictions(bench.forms.folder / "predictions" / f"test-{form}.safetensors")
    test, low, high = interval(find_metric(task.metric), labels_and_logits[1], [labels_and_logits[0]])
    teacher = prefix_values(spec)
    measured = bench.forms.told()["values"]
    return CardFacts(
        name=f"{_short(task)}-student",
        data=task.name,
        metric=task.metric,
        problem=task.problem,
        label_names=task.label_names,
        pipeline=spec.pipeline,
        teacher=Pipeline.from_json(spec.pipeline).teacher,
        valid_score=values[f"{form}/valid_score"],
        test_score=test,
        test_low=low,
        test_high=high,
        params=measured["params"],
        active_params=fewer(measured.get("active_params"), measured["params"]),
        macs=measured["macs"],
        size_bytes=measured["size_bytes"],
        teacher_test_score=teacher["test_score"],
        teacher_latency_ms=values["teacher_latency_ms"],
        latency=f"{bench.spec.text} on {timing_machine()}",
        max_length=spec.max_length,
        n_train=len(task.train),
        needs_autokd=is_own(checkpoint),
        kind=task.kind,
        forms=tuple(_card_form(name, values) for name in RUNTIMES if f"{name}/latency_ms" in values),
        notes=task.notes,
    )


def _runtimes(bench: Bench) -> list[str]:
    """The runtimes to deploy for: bfloat16 only where the CPU computes in it, or the study asks for it.

    A graph network is what torch computes on the whole graph: it has no other form.
    """
    if bench.workspace.task.kind == "graph":
        return ["torch"]
    slow = best_precision(torch.device("cpu")) != "bfloat16" and bench.spec.runtime != "torch-bf16"
    return [name for name in available_runtimes() if not (slow and name == "torch-bf16")]


def _form_runtime(bench: Bench) -> str:
    """The runtime that gives the scores of the trial's record: int8's, or torch for a float checkpoint."""
    return "onnx-int8" if Pipeline.from_json(bench.job.spec.pipeline).form == "onnx-int8" else "torch"


def _scores(bench: Bench, runtime: str, student: Runtime) -> dict[str, float]:
    """The scores on both splits. They are kept in the folder: one that is scored for hours goes on where it stopped.

    Those of another machine are not this one's: processors round int8 products differently.
    """
    path, machine = bench.forms.folder / "deploy.scores.json", timing_machine()
    kept = json.loads(path.read_text()) if path.is_file() else {}
    known: dict[str, float] = kept["scores"] if kept.get("machine") == machine else {}
    for split in ("valid", "test"):
        name = f"{runtime}/{split}_score"
        if name not in known:
            known[name] = bench.forms.score(student, split, f"{split}-{runtime}")[0]
            write_json(path, {"machine": machine, "scores": known})
    return {name: score for name, score in known.items() if name.startswith(f"{runtime}/")}


def _card_form(runtime: str, values: Mapping[str, float]) -> CardForm:
    fields = ("valid_score", "test_score", "latency_ms", "latency_p90_ms", "size_bytes")
    return CardForm(runtime, **{field: values[f"{runtime}/{field}"] for field in fields})


def _short(task: Task) -> str:
    return Path(task.name).stem or "task"
