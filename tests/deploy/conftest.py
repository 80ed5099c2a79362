"""Small checkpoints whose every part shows in the logits, and rows to run them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autokd.contracts import Rows
from autokd.core.task import Task
from autokd.engine.tokens import encode
from autokd.models.encoder import Encoder
from autokd.models.export import save_pretrained
from autokd.models.linear import initialise
from autokd.models.slots import build, encoder_slot
from autokd.models.tiny import tiny_slot, tiny_tokenizer
from autokd.testing.tiny import tiny_task, tiny_texts


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's folder."""
    return tiny_tokenizer(tiny_texts(), tmp_path_factory.mktemp("words"))


def make_checkpoint(folder: Path, tokenizer: Path, scale: float = 10.0, **changes: Any) -> Path:
    """A checkpoint of a random encoder with large weights; ``changes`` are those of ``tiny_shape``."""
    encoder = build(tiny_slot(3, tokenizer, **changes))
    assert isinstance(encoder, Encoder)
    initialise(encoder, 3)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    labels = encoder.shape.labels
    names = ["river", "stone", "tree", "wind"][:labels] if labels > 1 else []
    problem = "classification" if labels > 1 else "regression"
    save_pretrained(encoder_slot(encoder, str(tokenizer)), folder, names, problem)
    return folder


@pytest.fixture
def checkpoint_of(tmp_path: Path, words: Path) -> Callable[..., Path]:
    """Makes ``tmp_path / "checkpoint"`` with any changes of shape."""
    return lambda **changes: make_checkpoint(tmp_path / "checkpoint", words, **changes)


@pytest.fixture(scope="session")
def task() -> Task:
    return tiny_task()


@pytest.fixture(scope="session")
def rows(task: Task, words: Path) -> Rows:
    return encode(task.valid, words, 32, task.problem)
