"""What deploying buys: students of 3, 2 and 1 layers against their teacher, in every runtime. See README.md."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from page import page
from safetensors import safe_open

import autokd
from autokd.contracts import Rows
from autokd.core.latency import RUNTIMES
from autokd.core.seeds import Seeds
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.deploy.forms import add_int8, add_onnx, runtime_folder
from autokd.deploy.latency import measure
from autokd.deploy.runtimes import Runtime, open_runtime
from autokd.engine.tokens import encode
from autokd.measure.metrics import find_metric
from autokd.models.assets import find_model
from autokd.models.export import save_pretrained
from autokd.models.hub import load_pretrained
from autokd.tasks.load import load_task

HERE = Path(__file__).parent
DEPTHS = (3, 2, 1)
BATCHES = (1, 32)
MAX_LENGTH = 128


def pipeline(depth: int) -> dict[str, Any]:
    """Plain logits distillation of a student of the teacher's layers."""
    optimizer = {"use": "basics:AdamW", "lr": 1e-4}
    return {
        "stages": [
            {"use": "basics:FineTuneTeacher", "epochs": 2, "batch_size": 32},
            {"use": "basics:TruncateLayers", "keep": depth, "take": "even"},
            {"use": "basics:Distil", "objectives": [{"use": "basics:Logits"}], "optimizer": optimizer, "epochs": 2},
        ],
    }


def make_models(task: Task, work: Path) -> dict[str, Path]:
    """Checkpoints of the teacher's shape (its weights decide nothing here) and of trained students."""
    asset = find_model("minilm")
    slot = load_pretrained(asset.folder, task.n_outputs, Seeds(0))
    save_pretrained(slot, work / "teacher" / "checkpoint", task.label_names, task.problem)
    found = {"teacher": work / "teacher" / "checkpoint"}
    for depth in DEPTHS:
        name = f"{depth} layer{'s' if depth > 1 else ''}"
        fit = autokd.Distiller(pipeline(depth), teacher="minilm", threads=os.cpu_count() or 1)
        found[name] = fit.fit(task, work / f"student-{depth}").checkpoint
        print(f"{name}: trained", flush=True)
    return found


def rows_of(task: Task, folder: Path) -> dict[str, Rows]:
    """The tokenised splits."""
    return {name: encode(getattr(task, name), folder, MAX_LENGTH, task.problem) for name in ("train", "valid", "test")}


def score(runtime: Runtime, rows: Rows, metric: str) -> float:
    """A model's score on tokenised rows."""
    return find_metric(metric).score(runtime.logits(rows), rows.labels.numpy())


def quality(models: Mapping[str, Path], task: Task, rows: Mapping[str, Rows]) -> dict[str, Any]:
    """Each student's test score and bytes in each runtime; makes the ONNX forms on the way."""
    found: dict[str, Any] = {}
    for name, checkpoint in models.items():
        add_onnx(checkpoint)
        made = add_int8(checkpoint, rows["valid"], find_metric(task.metric), calibration=rows["train"])
        if name == "teacher":
            continue
        scores = {r: score(open_runtime(r, runtime_folder(checkpoint, r)), rows["test"], task.metric) for r in RUNTIMES}
        sizes = {r: sum(f.stat().st_size for f in runtime_folder(checkpoint, r).glob("model.*")) for r in RUNTIMES}
        found[name] = {"test_score": scores, "size_bytes": sizes, "quantization": made.method}
        print(f"{name}: {scores}", flush=True)
    return found


def speed(models: Mapping[str, Path], length: int, threads: int, seconds: float) -> list[dict[str, Any]]:
    """Median and p90 of all models in all runtimes, interleaved in one loop for each batch size."""
    found = []
    for batch in BATCHES:
        open_ = {
            f"{name}|{runtime}": open_runtime(runtime, runtime_folder(folder, runtime), threads=threads)
            for name, folder in models.items()
            for runtime in RUNTIMES
        }
        for key, timing in measure(open_, batch=batch, length=length, seconds=seconds).items():
            name, _, runtime = key.partition("|")
            found.append(
                {
                    "model": name,
                    "runtime": runtime,
                    "batch": batch,
                    "threads": threads,
                    "median_ms": timing.median_ms,
                    "p90_ms": timing.p90_ms,
                    "repeats": timing.repeats,
                }
            )
        print(f"batch {batch}, {threads} thread(s): timed", flush=True)
    return found


def parameters(checkpoint: Path) -> int:
    """Numbers stored in a checkpoint."""
    with safe_open(checkpoint / "model.safetensors", framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def about(task: Task, length: int) -> dict[str, Any]:
    """What the numbers belong to."""
    packages = ("torch", "transformers", "onnxruntime", "onnx")
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpu[0].partition(": ")[2] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "packages": {name: version(name) for name in packages},
        "task": task.name,
        "metric": task.metric,
        "train_rows": len(task.train),
        "test_rows": len(task.test),
        "length": length,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--train-rows", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of timing, for each batch size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args()
    task = load_task(DataSource(options.dataset), seed=0)
    task = task.with_train(task.train.take(range(min(options.train_rows, len(task.train)))))
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(task, Path(folder))
        rows = rows_of(task, models["teacher"])
        length = int(rows["train"].lengths.double().quantile(0.95))
        found: dict[str, Any] = {"about": about(task, length)}
        found["parameters"] = {name: parameters(checkpoint) for name, checkpoint in models.items()}
        found["quality"] = quality(models, task, rows)
        found["speed"] = speed(models, length, options.threads, options.seconds)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / "results.md").write_text(page(found))
    print(f"wrote {options.output / 'results.md'}")


if __name__ == "__main__":
    main()
