"""Hugging Face Trainer with a distillation loss, in its best sane settings.

Tokenised once, padded to the longest row of a batch, fused AdamW, the teacher under ``no_grad`` and autocast, no
logging, saving or evaluation while it trains. ``by_length`` adds Trainer's own grouping by length.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from baseline_losses import distillation_loss
from plan import CLIP_NORM, LEARNING_RATE, MAX_LENGTH, Arm
from systems import Clock, Load, Request
from texts import read, tokenised
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)


class DistillingTrainer(Trainer):
    """Trainer whose loss is the recipe's."""

    def __init__(self, teacher: nn.Module, clock: Clock, keep_losses: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.teacher = teacher
        self.clock = clock
        self.keep_losses = keep_losses

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        inputs.pop("labels", None)
        with torch.no_grad(), self.accelerator.autocast():
            taught = self.teacher(**inputs, output_hidden_states=True)
        made = model(**inputs, output_hidden_states=True)
        loss = distillation_loss(made, taught, inputs["attention_mask"])
        if self.keep_losses:
            self.clock.losses.append(loss.item())
        return loss

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(*args, **kwargs)
        optimizer.register_step_post_hook(self.clock.step)
        return optimizer


class TrainerSystem:
    """The Trainer arms."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm

    def load(self, work: Path, load: Load) -> list[int]:
        folder = work / load.task
        self.student = folder / f"student-{load.layers}"
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "teacher")
        self.teacher = AutoModelForSequenceClassification.from_pretrained(folder / "teacher").eval()
        self.train_rows = tokenised(read(load.task, "train", load.limit), self.tokenizer, MAX_LENGTH)
        self.dev_rows = tokenised(read(load.task, "dev"), self.tokenizer, MAX_LENGTH)
        return [len(row["input_ids"]) for row in self.train_rows]

    def train(self, request: Request, clock: Clock) -> list[list[float]]:
        student = AutoModelForSequenceClassification.from_pretrained(
            self.student, hidden_dropout_prob=request.dropout, attention_probs_dropout_prob=request.dropout
        )
        chosen = [self.train_rows[i] for i in request.rows] if request.rows else self.train_rows
        with tempfile.TemporaryDirectory() as folder:
            trainer = DistillingTrainer(
                self.teacher,
                clock,
                request.losses,
                model=student,
                args=self.arguments(folder, request),
                train_dataset=chosen,
                data_collator=clock.collating(DataCollatorWithPadding(self.tokenizer)),
            )
            trainer.train()
        return logits_of(student, self.dev_rows, self.tokenizer) if request.logits else []

    def arguments(self, folder: str, request: Request) -> TrainingArguments:
        return TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            bf16=self.arm.precision == "bfloat16",
            per_device_train_batch_size=self.arm.batch,
            num_train_epochs=request.epochs,
            learning_rate=LEARNING_RATE,
            warmup_steps=request.warmup,  # below 1: a share
            weight_decay=0.0,
            max_grad_norm=CLIP_NORM,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length" if self.arm.by_length else "random",
            seed=request.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )


def logits_of(model: nn.Module, rows: list[dict[str, Any]], tokenizer: Any) -> list[list[float]]:
    """The model's float32 logits for all rows, in order."""
    collate = DataCollatorWithPadding(tokenizer)
    made: list[list[float]] = []
    with torch.inference_mode():
        model.eval()
        for start in range(0, len(rows), 64):
            batch = collate(rows[start : start + 64])
            batch.pop("labels")
            made += model(**batch).logits.tolist()
    return made
