"""Experts as they ship: reloaded through transformers and in onnxruntime, for classes and for numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from autokd.core.task import Task
from autokd.deploy.export import export_checkpoint
from autokd.deploy.gate import admit
from autokd.deploy.runtimes import open_runtime
from autokd.engine.evaluate import predict
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher, Labels
from autokd.methods.moebert import LayerTransfer, ToExperts
from autokd.models.slots import build
from autokd.testing.context import tiny_context
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("routing", "task"),
    [
        pytest.param("balanced_hash", tiny_regression(), id="balanced hash, numbers"),
        pytest.param("gate_sentence", tiny_task(), id="gate of sentences, classes"),
        pytest.param("hash", tiny_task(), id="hash, classes", marks=pytest.mark.slow),
        pytest.param("gate_token", tiny_regression(), id="gate of tokens, numbers", marks=pytest.mark.slow),
    ],
)
def test_experts_come_back_equal(routing: str, task: Task, tmp_path: Path) -> None:
    adamw = AdamW(lr=3e-3)
    stages = (
        FineTuneTeacher(epochs=2, batch_size=8, optimizer=adamw),
        ToExperts(experts=2, width=0.5, routing=routing),
        Distil(objectives=(Labels(), LayerTransfer()), epochs=1, batch_size=8, optimizer=adamw),
    )
    student = run_stages(stages, task, tmp_path)["student"]
    rows = tiny_context(tmp_path, task, "basics:Distil").rows("valid", student)
    expected = predict(build(student), rows, torch.device("cpu"), torch.float32).numpy()
    checkpoint = admit(student, tmp_path / "checkpoint", task, rows).folder
    assert {path.name for path in checkpoint.glob("*model*")} == {"model.safetensors"}
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    for name, value in student.weights.items():
        assert torch.equal(model.encoder.state_dict()[name], value)
    shipped = export_checkpoint(checkpoint, tmp_path / "onnx", "onnx", rows=rows)
    for runtime, folder in (("torch", checkpoint), ("onnx", shipped.folder)):
        np.testing.assert_allclose(open_runtime(runtime, folder).logits(rows), expected, atol=1e-5, rtol=1e-5)
