"""The forms of a trained checkpoint: itself (float32), and beside it ``onnx`` and ``onnx-int8``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from autokd.contracts import Rows
from autokd.core.shape import EncoderShape
from autokd.core.task import Problem
from autokd.deploy.folders import (
    available_runtimes,
    exported_as,
    folder_bytes,
    kind_of,
    labels_of,
    onnx_missing,
    runtime_folder,
    source_of,
)
from autokd.deploy.onnx_export import export_onnx
from autokd.deploy.quantize import Quantized, quantize
from autokd.deploy.runtimes import Between, nothing
from autokd.measure.metrics import Metric
from autokd.models.encoder import Encoder
from autokd.models.export import save_pretrained
from autokd.models.linear import initialise
from autokd.models.slots import encoder_slot

__all__ = [
    "EXPORT_FORMS",
    "FORMS",
    "SHIPS",
    "add_int8",
    "add_onnx",
    "available_runtimes",
    "existing_form",
    "folder_bytes",
    "kind_of",
    "labels_of",
    "onnx_missing",
    "runtime_folder",
    "shape_checkpoint",
]

FORMS = ("float32", "onnx-int8")  # what a pipeline's ``form`` may be
SHIPS = {"float32": "torch", "onnx-int8": "onnx-int8"}  # the runtime that a pipeline's form ships in
EXPORT_FORMS = ("hf", "onnx", "onnx-int8")


def add_onnx(checkpoint: Path, *, trust_remote_code: bool = False) -> Path:
    """The checkpoint's ``onnx`` folder beside it; made, unless there is one of this very checkpoint.

    Raises as ``export_onnx``.
    """
    folder = runtime_folder(checkpoint, "onnx")
    if not _is_of(folder, checkpoint):
        export_onnx(checkpoint, folder, trust_remote_code=trust_remote_code)
    return folder


def add_int8(
    checkpoint: Path,
    rows: Rows | None = None,
    metric: Metric | None = None,
    *,
    calibration: Rows | None = None,
    trust_remote_code: bool = False,
    callers: int = 1,
    between: Between = nothing,
) -> Quantized:
    """The checkpoint's ``onnx-int8`` folder beside it; made, unless there is one of this very checkpoint.

    A float ``onnx`` folder beside it is used where there is one, and not left behind where there is none. Rows, metric,
    calibration rows, callers and between as in ``quantize``; raises as it and ``export_onnx``.
    """

    def made_of(onnx: Path) -> Quantized:
        return quantize(onnx, folder, rows, metric, calibration=calibration, callers=callers, between=between)

    folder = runtime_folder(checkpoint, "onnx-int8")
    if _is_of(folder, checkpoint):
        return Quantized(folder, str(exported_as(folder).get("quantization")), folder_bytes(folder))
    float_folder = runtime_folder(checkpoint, "onnx")
    if _is_of(float_folder, checkpoint):
        return made_of(float_folder)
    with tempfile.TemporaryDirectory(prefix="autokd-onnx-") as place:
        return made_of(export_onnx(checkpoint, Path(place) / "onnx", trust_remote_code=trust_remote_code))


def existing_form(checkpoint: Path, runtime: str) -> Path | None:
    """The folder beside a checkpoint that holds its form for a runtime, None where none was made of it."""
    folder = runtime_folder(checkpoint, runtime)
    return folder if _is_of(folder, checkpoint) else None


def shape_checkpoint(shape: EncoderShape, tokenizer: str, folder: Path) -> Path:
    """A checkpoint of this shape with random weights, for what depends on the shape alone; gives ``folder``."""
    encoder = Encoder(shape)
    initialise(encoder, 0)
    problem: Problem = "classification" if shape.labels > 1 else "regression"
    save_pretrained(encoder_slot(encoder, tokenizer), folder, [str(i) for i in range(shape.labels)], problem)
    return folder


def _is_of(folder: Path, checkpoint: Path) -> bool:
    return folder.is_dir() and exported_as(folder).get("source") == source_of(checkpoint)
