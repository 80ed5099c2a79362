"""The gate: only what was reloaded from disk and gives the same logits counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from autokd.contracts import Rows
from autokd.core.errors import TrainingError
from autokd.core.task import Task
from autokd.deploy import gate
from autokd.deploy.scoring import open_model
from autokd.engine.tokens import encode
from autokd.models.tiny import tiny_slot, tiny_tokenizer
from autokd.testing.tiny import tiny_task, tiny_texts


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    return str(tiny_tokenizer(tiny_texts(), tmp_path / "tokenizer"))


@pytest.fixture
def task() -> Task:
    return tiny_task()


@pytest.fixture
def rows(task: Task, tokenizer: str) -> Rows:
    return encode(task.valid, tokenizer, 32, task.problem)


def test_an_admitted_student_is_measured_from_its_folder(
    tmp_path: Path, tokenizer: str, task: Task, rows: Rows
) -> None:
    slot = tiny_slot(seed=1, tokenizer=tokenizer)
    admitted = gate.admit(slot, tmp_path / "checkpoint", task, rows)
    assert admitted.params == sum(tensor.numel() for tensor in slot.weights.values())
    assert admitted.logits.shape == (len(rows), 2)
    assert admitted.size_bytes >= 4 * admitted.params
    np.testing.assert_array_equal(gate.reloaded_logits(tmp_path / "checkpoint", rows), admitted.logits)


def test_a_checkpoint_says_how_long_the_texts_were_that_it_learnt_from(
    tmp_path: Path, tokenizer: str, task: Task, rows: Rows
) -> None:
    gate.admit(tiny_slot(seed=1, tokenizer=tokenizer), tmp_path / "checkpoint", task, rows, max_length=16)
    assert AutoTokenizer.from_pretrained(tmp_path / "checkpoint").model_max_length == 16
    assert open_model(tmp_path / "checkpoint").max_length == 16
    assert open_model(tmp_path / "checkpoint", max_length=24).max_length == 24
    assert open_model(tmp_path / "checkpoint", max_length=10_000).max_length == 64  # all that the model can read


def test_a_checkpoint_that_differs_from_its_network_is_refused(
    tmp_path: Path, tokenizer: str, task: Task, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_damaged(slot, folder, *told) -> None:
        save_pretrained(slot, folder, *told)
        tensors = load_file(folder / "model.safetensors")
        tensors["classifier.bias"] = tensors["classifier.bias"] + 0.5
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    save_pretrained = gate.save_checkpoint
    monkeypatch.setattr(gate, "save_checkpoint", save_damaged)
    with pytest.raises(TrainingError, match=r"differ by 0\.5"):
        gate.admit(tiny_slot(seed=1, tokenizer=tokenizer), tmp_path / "checkpoint", task, rows)


def test_predictions_come_back_as_they_were_kept(tmp_path: Path) -> None:
    logits, labels = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 1])
    path = gate.save_predictions(tmp_path / "predictions", "test", logits, labels)
    found = gate.load_predictions(path)
    np.testing.assert_array_equal(found[0], logits)
    np.testing.assert_array_equal(found[1], labels)


def test_a_plain_checkpoint_needs_transformers_only(tmp_path: Path, tokenizer: str, task: Task, rows: Rows) -> None:
    gate.admit(tiny_slot(seed=1, tokenizer=tokenizer), tmp_path / "checkpoint", task, rows)
    program = (
        "import sys; sys.modules['autokd'] = None\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "print(model(**tokenizer(['the old river'], return_tensors='pt')).logits.shape, model.config.id2label)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "checkpoint")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1, 2]) {0: 'river', 1: 'stone'}" in done.stdout
