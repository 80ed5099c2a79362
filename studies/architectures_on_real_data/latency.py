"""How long a text takes in each student and in the teacher, all in turns in one run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from plan import Run
from trainings.work import TEACHER, Place, kept_checkpoint, load_cell

from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.deploy.forms import add_onnx, shape_checkpoint
from autokd.deploy.latency import measure
from autokd.deploy.runtimes import open_runtime
from autokd.models.assets import find_model
from autokd.models.hub import load_pretrained

LENGTH, BATCHES, SECONDS = 64, (1, 32), 120.0
RUNTIME = "onnx"  # in torch transformers runs the plain shapes, and other code than that the free ones


def timed(runs: Mapping[tuple[str, str], Run], place: Place) -> dict[str, Any]:
    """Medians in milliseconds, one thread, of the kept checkpoint of each arm and size, and of the teacher's shape."""
    asset, n_outputs = find_model(TEACHER), load_cell(next(iter(runs.values())).cell).n_outputs
    shapes = {"teacher": EncoderShape.from_json(load_pretrained(asset.folder, n_outputs, Seeds(0)).config)}
    folders = {f"{arm}|{size}": kept_checkpoint(run, place) for (arm, size), run in runs.items()}
    for name, folder in folders.items():
        shape = shape_in(folder)
        if shape is not None and all(layer.ffn_copies == 1 for layer in shape.layers):
            shapes[name] = shape
    with tempfile.TemporaryDirectory() as temporary:
        for i, (name, shape) in enumerate(shapes.items()):
            folders[name] = shape_checkpoint(dense(shape), str(asset.folder), Path(temporary) / str(i) / "checkpoint")
        opened = {name: open_runtime(RUNTIME, add_onnx(folder)) for name, folder in folders.items()}
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "length": LENGTH, "times": []}
    for batch in BATCHES:
        for name, timing in measure(opened, batch=batch, length=LENGTH, seconds=SECONDS).items():
            found["times"].append({"model": name, "batch": batch, **asdict(timing)})
        print(f"batch {batch}: timed", flush=True)
    return found


def shape_in(checkpoint: Path) -> EncoderShape | None:
    """The shape in a checkpoint of this project's own model type; None for one that transformers knows."""
    found = json.loads((checkpoint / "config.json").read_text()).get("shape")
    return None if found is None else EncoderShape.from_json(found)


def dense(shape: EncoderShape) -> EncoderShape:
    """The shape with a dense network where one expert alone fills the seam: nothing is left to route."""
    layers = tuple(replace(layer, ffn_use="", gate="") for layer in shape.layers)
    return shape.with_layers(layers)
