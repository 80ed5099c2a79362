"""TextBrewer's GeneralDistiller, set up as its examples do it (float32; its mixed precision needs apex)."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from plan import CLIP_NORM, LEARNING_RATE, MAX_LENGTH, TEMPERATURE, Arm, matched_states
from systems import Clock, Load, Request
from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig  # type: ignore[import-untyped]
from texts import read, tokenised
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)


class RecordingDistiller(GeneralDistiller):  # type: ignore[misc]
    """GeneralDistiller that keeps each step's loss."""

    losses: list[float]

    def compute_loss(self, results_S: dict[str, Any], results_T: dict[str, Any]) -> Any:  # noqa: N803 - its names
        total, parts = super().compute_loss(results_S, results_T)
        # Its cross-entropy is the KL divergence plus the teacher's entropy, which no gradient sees.
        q = torch.softmax(results_T["logits"][0] / TEMPERATURE, dim=-1)
        entropy = -(q * q.log()).sum(dim=-1).mean() * TEMPERATURE**2
        self.losses.append((total - entropy).item())
        return total, parts


def adaptor(batch: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """What TextBrewer reads of a Hugging Face output."""
    return {
        "logits": outputs["logits"],
        "hidden": outputs["hidden_states"],
        "inputs_mask": batch["attention_mask"],
    }


def distillation(layers: int) -> DistillationConfig:
    """The recipe in TextBrewer's terms."""
    pairs = matched_states(layers)
    matches = [
        {"layer_T": j, "layer_S": i, "feature": "hidden", "loss": "hidden_mse", "weight": 1 / len(pairs)}
        for i, j in pairs
    ]
    return DistillationConfig(
        temperature=TEMPERATURE, kd_loss_type="ce", kd_loss_weight=TEMPERATURE**2, intermediate_matches=matches
    )


class TextBrewerSystem:
    """The TextBrewer arm."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm

    def load(self, work: Path, load: Load) -> list[int]:
        folder = work / load.task
        self.student = folder / f"student-{load.layers}"
        self.layers = load.layers
        self.teacher = AutoModelForSequenceClassification.from_pretrained(folder / "teacher").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "teacher")
        self.train_rows = tokenised(read(load.task, "train", load.limit), self.tokenizer, MAX_LENGTH)
        return [len(row["input_ids"]) for row in self.train_rows]

    def train(self, request: Request, clock: Clock) -> list[list[float]]:
        if request.logits:
            raise ValueError("the TextBrewer arm is measured for speed only")
        torch.manual_seed(request.seed)
        student = AutoModelForSequenceClassification.from_pretrained(
            self.student, hidden_dropout_prob=request.dropout, attention_probs_dropout_prob=request.dropout
        )
        chosen = [self.train_rows[i] for i in request.rows] if request.rows else self.train_rows
        pad = DataCollatorWithPadding(self.tokenizer)

        def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
            # TextBrewer passes a plain dict on as keyword arguments; a label would add an unwanted loss.
            return {name: value for name, value in pad(rows).items() if name != "labels"}

        loader: DataLoader[Any] = DataLoader(
            cast(Dataset[Any], chosen),  # any sequence will do
            batch_size=self.arm.batch,
            shuffle=True,
            collate_fn=clock.collating(collate),
        )
        steps = math.ceil(len(chosen) / self.arm.batch) * request.epochs
        optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        optimizer.register_step_post_hook(clock.step)
        with tempfile.TemporaryDirectory() as folder:
            config = TrainingConfig(output_dir=folder, device="cpu", ckpt_steps=10**9)
            kind = RecordingDistiller if request.losses else GeneralDistiller
            distiller = kind(config, distillation(self.layers), self.teacher, student, adaptor, adaptor)
            distiller.losses = clock.losses
            with distiller:
                distiller.train(
                    optimizer,
                    loader,
                    num_steps=steps,
                    scheduler_class=get_linear_schedule_with_warmup,
                    scheduler_args={"num_warmup_steps": math.ceil(request.warmup * steps), "num_training_steps": steps},
                    max_grad_norm=CLIP_NORM,
                    output_hidden_states=True,
                )
        return []
