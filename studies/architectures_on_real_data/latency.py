"""How long a text takes in each student and in the teacher, all in turns in one run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plan import Run
from trainings.work import TEACHER, Place, kept_checkpoint, load_cell

from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.deploy.forms import add_onnx, runtime_folder, shape_checkpoint
from autokd.deploy.latency import measure
from autokd.deploy.runtimes import open_runtime
from autokd.models.assets import find_model
from autokd.models.hub import load_pretrained

LENGTH, BATCHES, SECONDS = 64, (1, 32), 90.0
RUNTIMES = ("torch", "onnx")


def timed(runs: Mapping[tuple[str, str], Run], place: Place) -> dict[str, Any]:
    """Medians in milliseconds, one thread, of the kept checkpoint of each arm and size, and of the teacher's shape."""
    folders = {f"{arm}|{size}": kept_checkpoint(run, place) for (arm, size), run in runs.items()}
    folders["teacher"] = _teacher(next(iter(runs.values())), Path(place.folder) / "latency")
    for folder in folders.values():
        add_onnx(folder)
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "length": LENGTH, "times": []}
    for runtime in RUNTIMES:
        opened = {name: open_runtime(runtime, runtime_folder(folder, runtime)) for name, folder in folders.items()}
        for batch in BATCHES:
            times = measure(opened, batch=batch, length=LENGTH, seconds=SECONDS)
            for name, timing in times.items():
                found["times"].append({"model": name, "runtime": runtime, "batch": batch, **asdict(timing)})
            print(f"{runtime}, batch {batch}: timed", flush=True)
    return found


def _teacher(run: Run, folder: Path) -> Path:
    asset, n_outputs = find_model(TEACHER), load_cell(run.cell).n_outputs
    shape = EncoderShape.from_json(load_pretrained(asset.folder, n_outputs, Seeds(0)).config)
    shutil.rmtree(folder, ignore_errors=True)
    return shape_checkpoint(shape, str(asset.folder), folder / "teacher" / "checkpoint")
