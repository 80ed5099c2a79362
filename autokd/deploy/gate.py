"""The gate: a trained student counts only as what is reloaded from disk and scored again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification

import autokd.auto  # noqa: F401 - registers the classes that load shapes plain transformers cannot
from autokd.contracts import Rows, Slot
from autokd.core.errors import DataError, TrainingError
from autokd.core.provenance import Provenance
from autokd.core.task import Task
from autokd.deploy.folders import kind_of
from autokd.deploy.graph_runtime import open_graph_runtime
from autokd.engine.batches import scoring_batches
from autokd.engine.evaluate import predict
from autokd.measure.metrics import find_metric
from autokd.models.graph_checkpoint import save_checkpoint
from autokd.models.quiet import quiet_transformers
from autokd.models.slots import build

# float32 sums in another order differ by about this much in logits of size 10
TOLERANCE = 1e-3
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Admitted:
    """What was measured on the reloaded checkpoint. ``logits`` [n_rows, n_outputs] in row order."""

    folder: Path
    logits: np.ndarray
    score: float
    params: int
    size_bytes: int


def admit(
    slot: Slot, folder: Path, task: Task, rows: Rows, *, batch_size: int = 64, max_length: int | None = None
) -> Admitted:
    """Save a student, load it back as a user would, and score it on ``rows``.

    ``AutoModelForSequenceClassification`` (for nodes of a graph: the project itself) must load the folder and give the
    logits that the network in memory gives (float32, within 1e-3); otherwise TrainingError.
    """
    save_checkpoint(slot, folder, task.label_names, task.problem, max_length, Provenance.of(task))
    logits = reloaded_logits(folder, rows, batch_size=batch_size)
    expected = predict(build(slot), rows, torch.device("cpu"), torch.float32).numpy()
    worst = float(np.abs(logits - expected).max())
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"a checkpoint must give the logits of the network it was saved from, but they differ by {worst:.3g} "
            f"(allowed: {TOLERANCE:g}) after reloading {folder}."
        )
    score = find_metric(task.metric).score(logits, rows.labels.numpy())
    if not np.isfinite(score):
        raise TrainingError(f"the metric {task.metric} of the reloaded checkpoint must be finite, but it is {score}.")
    return Admitted(folder, logits, score, _stored_parameters(folder), _size_bytes(folder))


def reloaded_logits(folder: Path, rows: Rows, *, batch_size: int = 64) -> np.ndarray:
    """Logits [n_rows, n_outputs] of a checkpoint folder, loaded as a user would, in row order."""
    if kind_of(folder) == "graph":
        return open_graph_runtime(folder).logits(rows)
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    found = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
    with torch.inference_mode():
        for batch in scoring_batches(rows, batch_size):
            inputs = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.types}
            found[batch.rows.numpy()] = model(**inputs).logits.numpy()
    return found


def save_predictions(folder: Path, split: str, logits: np.ndarray, labels: np.ndarray) -> str:
    """Keep raw predictions of a split beside the checkpoint, whole or not at all; returns the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.safetensors"
    part = path.with_name(path.name + ".part")
    save_file({"logits": np.ascontiguousarray(logits), "labels": np.ascontiguousarray(labels)}, part)
    part.replace(path)
    return str(path)


def load_predictions(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(logits [n, n_outputs], labels [n]) as ``save_predictions`` wrote them. Raises DataError where they are not."""
    try:
        tensors: Mapping[str, np.ndarray] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"predictions must be a whole safetensors file, but {str(path)!r} is not: {error}.") from error
    return tensors["logits"], tensors["labels"]


def _stored_parameters(folder: Path) -> int:
    total = 0
    with safe_open(folder / "model.safetensors", framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            stored = file.get_slice(name)
            if stored.get_dtype() in _FLOATS:  # tables of expert routes are not parameters
                total += int(np.prod(stored.get_shape(), dtype=np.int64))
    return total


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
