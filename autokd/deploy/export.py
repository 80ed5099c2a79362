"""A deployable folder of one's own choice from a checkpoint: made aside, loaded again, compared, then put in place."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd.contracts import Rows
from autokd.core.errors import TrainingError, UsageError, unknown
from autokd.deploy.card import CARD_FILE, CardFacts, write_card
from autokd.deploy.compare import sample_batches
from autokd.deploy.folders import folder_bytes, kind_of
from autokd.deploy.forms import EXPORT_FORMS, existing_form
from autokd.deploy.onnx_export import TOLERANCE, write_onnx
from autokd.deploy.quantize import write_int8
from autokd.deploy.runtimes import Runtime, default_runtime, open_runtime
from autokd.measure.metrics import Metric
from autokd.models.export import TOKENIZER_FILES
from autokd.models.folders import atomic_folder

# int8 may move logits by this share of their own spread (root mean squares): rounding moves them by a few percent.
INT8_TOLERANCE = 0.5
_HF_FILES = ("config.json", "model*.safetensors", "model.safetensors.index.json", CARD_FILE, *TOKENIZER_FILES)


@dataclass(frozen=True)
class Exported:
    """A folder that was loaded again. ``worst_difference`` is the largest one of its logits from the checkpoint's."""

    folder: Path
    size_bytes: int
    worst_difference: float


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    form: str,
    *,
    rows: Rows | None = None,
    metric: Metric | None = None,
    calibration: Rows | None = None,
    card: CardFacts | None = None,
    trust_remote_code: bool = False,
) -> Exported:
    """Write a checkpoint as ``hf``, ``onnx`` or ``onnx-int8`` to ``output``, whole or not at all.

    The result is loaded again and compared with the checkpoint on ``rows`` (None: random ones): hf gives equal logits,
    onnx within 1e-4 (relative above 1), int8 within half of the logits' spread. ``metric`` and ``calibration`` as in
    ``quantize``. A model card comes along: ``card``, else that of the checkpoint if it has one. Raises UsageError for
    an unknown form or an ``output`` that holds something, DataError for a folder that is no checkpoint, TrainingError
    where the forms differ by more.
    """
    if form not in EXPORT_FORMS:
        raise UsageError(unknown("form", form, EXPORT_FORMS))
    if form != "hf" and kind_of(checkpoint) == "graph":
        raise UsageError(f"a graph network is exported as hf, its own files: it has no form {form}.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"an export goes to a new or empty folder, but {str(output)!r} holds something.")
    expected = open_runtime("torch", checkpoint, trust_remote_code=trust_remote_code)
    with atomic_folder(output) as work:
        _write(checkpoint, work, form, rows, metric, calibration, trust_remote_code)
        _add_card(checkpoint, work, card)
        made = open_runtime(default_runtime(work), work, trust_remote_code=trust_remote_code)
        worst = _compare(made, expected, form, rows)
    return Exported(output, folder_bytes(output), worst)


def _write(
    checkpoint: Path,
    work: Path,
    form: str,
    rows: Rows | None,
    metric: Metric | None,
    calibration: Rows | None,
    trust_remote_code: bool,
) -> None:
    if form == "hf":
        for pattern in _HF_FILES:
            for path in checkpoint.glob(pattern):
                shutil.copyfile(path, work / path.name)
    elif (made := existing_form(checkpoint, form)) is not None:
        shutil.copytree(made, work, dirs_exist_ok=True)  # the very one that was measured
    elif form == "onnx":
        write_onnx(checkpoint, work, trust_remote_code=trust_remote_code)
    else:
        with tempfile.TemporaryDirectory(prefix="autokd-onnx-") as place:
            write_onnx(checkpoint, Path(place), trust_remote_code=trust_remote_code)
            write_int8(Path(place), work, rows, metric, calibration)


def _add_card(checkpoint: Path, work: Path, card: CardFacts | None) -> None:
    if card is not None:
        write_card(work, card)
    elif (checkpoint / CARD_FILE).is_file():
        shutil.copyfile(checkpoint / CARD_FILE, work / CARD_FILE)


def _compare(made: Runtime, expected: Runtime, form: str, rows: Rows | None) -> float:
    if rows is None:
        batches = sample_batches(expected)
        found = np.concatenate([made.run(batch) for batch in batches])
        wanted = np.concatenate([expected.run(batch) for batch in batches])
    else:
        found, wanted = made.logits(rows), expected.logits(rows)
    apart = np.abs(found - wanted)
    if form == "onnx-int8":
        share = float(np.sqrt(np.mean(apart**2)) / (wanted.std() + 1e-3))
        if not share <= INT8_TOLERANCE:
            raise TrainingError(
                f"int8 may move logits by {INT8_TOLERANCE:g} of their spread, but it moves these by {share:.2g}; "
                "export this model as onnx."
            )
    else:
        share = float((apart / np.maximum(1.0, np.abs(wanted))).max())
        allowed = TOLERANCE if form == "onnx" else 0.0
        if not share <= allowed:
            raise TrainingError(f"an export must give its checkpoint's logits, but they differ by {share:.3g}.")
    return float(apart.max())
