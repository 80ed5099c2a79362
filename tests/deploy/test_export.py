"""Exports: made aside, compared, put in place whole; a kill leaves nothing that looks finished."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from autokd.contracts import Rows
from autokd.core.errors import TrainingError, UsageError
from autokd.deploy import export as exporting
from autokd.deploy.export import export_checkpoint
from autokd.deploy.folders import folder_bytes, kind_of
from autokd.deploy.forms import add_int8, add_onnx, shape_checkpoint
from autokd.deploy.runtimes import open_runtime
from autokd.models.tiny import tiny_shape


def test_the_hf_form_is_what_transformers_pipelines_load(
    tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows
) -> None:
    checkpoint = checkpoint_of()
    (checkpoint / "README.md").write_text("# mine")
    (checkpoint / "training.log").write_text("nobody's concern")
    made = export_checkpoint(checkpoint, tmp_path / "out", "hf", rows=rows)
    assert (made.worst_difference, made.size_bytes) == (0.0, folder_bytes(tmp_path / "out"))
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    found = pipeline("text-classification", model=str(made.folder))(["the old river", "a stone"])
    assert {answer["label"] for answer in found} <= {"river", "stone"}
    assert all(0.5 <= answer["score"] <= 1 for answer in found)


def test_onnx_and_int8_are_compared_on_the_rows(tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows) -> None:
    pytest.importorskip("onnxruntime")
    checkpoint = checkpoint_of(depth=1, hidden=64, head_width=16, ffn=128, scale=3.0)
    wanted = open_runtime("torch", checkpoint).logits(rows)
    for form, allowed in (("onnx", 1e-4), ("onnx-int8", 0.2 * wanted.std())):
        made = export_checkpoint(checkpoint, tmp_path / form, form, rows=rows)
        assert kind_of(made.folder) == form
        found = np.abs(open_runtime(form, made.folder).logits(rows) - wanted).max()
        assert made.worst_difference == pytest.approx(found, abs=1e-6)
        assert found < allowed


def test_an_output_that_holds_something_is_left_alone(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    checkpoint = checkpoint_of(depth=1)
    with pytest.raises(UsageError, match=r"a new or empty folder, but .* holds something"):
        export_checkpoint(checkpoint, checkpoint, "hf")
    with pytest.raises(UsageError, match=r"unknown form 'onxx'. Did you mean 'onnx'\?"):
        export_checkpoint(checkpoint, tmp_path / "out", "onxx")


def test_a_form_that_differs_is_not_put_in_place(
    tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkpoint_of(depth=1).rename(tmp_path / "other")
    checkpoint = checkpoint_of(depth=2)
    true = exporting._write
    monkeypatch.setattr(exporting, "_write", lambda _, *rest: true(other, *rest))
    with pytest.raises(TrainingError, match="must give its checkpoint's logits, but they differ by"):
        export_checkpoint(checkpoint, tmp_path / "out", "hf", rows=rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "here", "other"]


def test_forms_beside_a_checkpoint_are_made_once_and_anew_for_another(
    tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows
) -> None:
    pytest.importorskip("onnxruntime")
    checkpoint = checkpoint_of(depth=1)
    onnx = add_onnx(checkpoint)
    before = (onnx / "model.onnx").stat().st_mtime_ns
    assert add_onnx(checkpoint) == onnx == tmp_path / "onnx"
    assert (onnx / "model.onnx").stat().st_mtime_ns == before
    int8 = add_int8(checkpoint)
    assert int8.folder == tmp_path / "onnx-int8"
    assert add_int8(checkpoint) == int8
    assert add_onnx(checkpoint_of(depth=1, labels=3)) == onnx
    assert open_runtime("onnx", onnx).logits(rows).shape[1] == 3
    add_int8(checkpoint)
    assert open_runtime("onnx-int8", int8.folder).logits(rows).shape[1] == 3


@pytest.mark.slow
def test_int8_alone_leaves_no_float_form_behind(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    pytest.importorskip("onnxruntime")
    add_int8(checkpoint_of(depth=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "here", "onnx-int8"]


def test_a_shape_alone_is_enough_for_a_checkpoint_to_time(tmp_path: Path, words: Path) -> None:
    folder = shape_checkpoint(tiny_shape(labels=1, depth=3), str(words), tmp_path / "shape")
    runtime = open_runtime("torch", folder)
    ids = np.full((2, 5), 7, dtype=np.int64)
    assert runtime.run({"input_ids": ids, "attention_mask": ids // 7}).shape == (2, 1)


@pytest.mark.slow
def test_a_kill_leaves_no_output(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    pytest.importorskip("onnxruntime")
    checkpoint = checkpoint_of(depth=2)
    program = (
        "import sys; from pathlib import Path\n"
        "from autokd.deploy.export import export_checkpoint\n"
        "print('ready', flush=True)\n"
        "export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), 'onnx-int8')\n"
    )
    for wait in (0.2, 1.0, 2.0):
        out = tmp_path / f"out-{wait}"
        child = subprocess.Popen([sys.executable, "-c", program, str(checkpoint), str(out)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert not out.exists() or kind_of(out) == "onnx-int8"
        if not out.exists():
            assert export_checkpoint(checkpoint, out, "onnx-int8").folder == out
