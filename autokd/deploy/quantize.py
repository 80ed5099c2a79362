"""From a float ONNX folder to one in int8: scales found at run time, or beforehand where that is measured to win."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from autokd.contracts import Rows
from autokd.core.errors import DataError, TrainingError, UsageError
from autokd.deploy.compare import sample_batches
from autokd.deploy.folders import ONNX_FILE, exported_as, folder_bytes, kind_of, onnx_missing
from autokd.deploy.int8_graph import fold_transposes, narrow_products, shrink_tables
from autokd.deploy.latency import measure
from autokd.deploy.onnx_export import copy_around
from autokd.deploy.runtimes import Between, Inputs, Runtime, as_inputs, nothing, open_runtime
from autokd.engine.batches import collate
from autokd.measure.metrics import Metric
from autokd.models.folders import atomic_folder

_CALIBRATION_ROWS, _FEW_ROWS = 256, 4
_FASTER = 0.95  # static wins where it takes at most this share of dynamic's time ...
_LOST = 0.002  # ... and its score is at most this much lower
_TIMING_SECONDS = 1.0


@dataclass(frozen=True)
class Quantized:
    """An int8 folder. ``method`` is ``dynamic`` (scales of activations found in each call) or ``static``."""

    folder: Path
    method: str
    size_bytes: int


def quantize(
    onnx: Path,
    output: Path,
    rows: Rows | None = None,
    metric: Metric | None = None,
    *,
    calibration: Rows | None = None,
    callers: int = 1,
    between: Between = nothing,
) -> Quantized:
    """Write ``output``, whole or not at all: the folder ``onnx`` with its products and word embeddings in int8.

    Weights have a scale per output, embeddings one per row. Dynamic, unless ``rows`` (validation) with a ``metric``
    and ``calibration`` rows (training; 256 of them are read) are given and static wins on them: a call of one row of
    median length takes at least 5 % less time on one thread, and its score is not more than 0.002 lower. ``callers``
    rows are scored at once; ``between`` is called between rows, and may raise to end the work. Raises DataError for a
    folder that is no float ONNX form, UsageError where the packages are missing, TrainingError where the result does
    not give finite logits.
    """
    with atomic_folder(output) as work:
        method = write_int8(onnx, work, rows, metric, calibration, callers, between)
    return Quantized(output, method, folder_bytes(output))


def write_int8(
    onnx: Path,
    folder: Path,
    rows: Rows | None,
    metric: Metric | None,
    calibration: Rows | None,
    callers: int = 1,
    between: Between = nothing,
) -> str:
    """``quantize`` into a folder that is there; gives the method."""
    missing = onnx_missing()
    if missing:
        raise UsageError(missing)
    if kind_of(onnx) != "onnx":
        raise DataError(f"int8 is made from a float ONNX folder, but {str(onnx)!r} is of another form.")
    told = {**exported_as(onnx), "form": "onnx-int8"}
    with tempfile.TemporaryDirectory(prefix="autokd-int8-") as place:
        prepared = Path(place) / "prepared.onnx"
        narrow = _prepare(onnx / ONNX_FILE, prepared)
        _dynamic(prepared, folder / ONNX_FILE, narrow)
        copy_around(onnx, folder, {**told, "quantization": "dynamic"})
        dynamic = open_runtime("onnx-int8", folder)
        _require_finite(dynamic)
        if rows is None or metric is None or calibration is None:
            return "dynamic"
        other = Path(place) / "static"
        other.mkdir()
        copy_around(onnx, other, {**told, "quantization": "static"})
        # Scales change no speed: a few rows tell whether the rest is worth its time.
        _static(prepared, other / ONNX_FILE, narrow, calibration, dynamic, _FEW_ROWS)
        between()
        if not _is_faster(open_runtime("onnx-int8", other), dynamic, rows):
            return "dynamic"
        _static(prepared, other / ONNX_FILE, narrow, calibration, dynamic, _CALIBRATION_ROWS)
        if not _is_as_good(open_runtime("onnx-int8", other), dynamic, rows, metric, callers, between):
            return "dynamic"
        for path in other.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    return "static"


def _prepare(source: Path, target: Path) -> list[str]:
    """The graph as the quantizer takes it, its tables in bytes; gives the names of products to leave alone."""
    import onnx
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(source)
    del model.graph.value_info[:]  # shapes that the exporter noted contradict those that the quantizer infers
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{i}"
    fold_transposes(model)
    shrink_tables(model)
    add_pre_process_metadata(model)  # else the quantizer asks on the root logger for what was just done
    onnx.save(model, target)
    return narrow_products(model)


def _dynamic(source: Path, target: Path, leave: Sequence[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=not multiplies_bytes(),
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(leave),
        extra_options={"MatMulConstBOnly": True},
    )


def _static(source: Path, target: Path, leave: Sequence[str], calibration: Rows, model: Runtime, n_rows: int) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        source,
        target,
        _Reader(calibration, model, n_rows),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=not multiplies_bytes(),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(leave),
        extra_options={"MatMulConstBOnly": True},
    )


class _Reader:
    """Training rows, one by one and so without padding, as onnxruntime's calibration asks for them; then None."""

    def __init__(self, rows: Rows, model: Runtime, n_rows: int) -> None:
        chosen = np.random.default_rng(0).permutation(len(rows))[:n_rows]
        self._inputs = (as_inputs(collate(rows, torch.tensor([i]))) for i in chosen)
        self._names = model.names

    def get_next(self) -> Inputs | None:
        found = next(self._inputs, None)
        return None if found is None else {name: found[name] for name in self._names}


def _is_as_good(static: Runtime, dynamic: Runtime, rows: Rows, metric: Metric, callers: int, between: Between) -> bool:
    labels = rows.labels.numpy()
    scores = [
        metric.score(runtime.logits(rows, callers=callers, between=between), labels) for runtime in (static, dynamic)
    ]
    return scores[0] >= scores[1] - _LOST


def _is_faster(static: Runtime, dynamic: Runtime, rows: Rows) -> bool:
    length = int(rows.lengths.median())
    times = measure({"static": static, "dynamic": dynamic}, batch=1, length=length, seconds=_TIMING_SECONDS)
    return times["static"].median_ms <= _FASTER * times["dynamic"].median_ms


def _require_finite(model: Runtime) -> None:
    for batch in sample_batches(model):
        if not np.isfinite(model.run(batch)).all():
            raise TrainingError("an int8 model must give finite logits, but this one does not; deploy it as onnx.")


@cache
def multiplies_bytes() -> bool:
    """Whether the processor adds up products of bytes without overflow; else weights get 7 bits instead of 8."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(flag in told for flag in ("avx512_vnni", "avx_vnni", "amx_int8"))
