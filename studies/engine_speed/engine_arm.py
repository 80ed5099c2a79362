"""autokd's engine: cached teacher outputs and the one training loop, called as a pipeline's Distil stage calls them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import torch
from engine_parts import ChosenRows, Recorded, TimedAdamW
from plan import CLIP_NORM, MAX_LENGTH, TEMPERATURE, Arm, matched_states
from systems import Clock, Load, Request
from texts import Texts, read
from torch import nn

from autokd.contracts import Context, LossTerm, Models, Wants
from autokd.core.seeds import Seeds
from autokd.core.task import Split, Task
from autokd.engine.evaluate import predict
from autokd.engine.loop import LoopOptions, train
from autokd.engine.precision import dtype_of, set_threads
from autokd.engine.teacher import TeacherOutputs
from autokd.engine.tokens import encode
from autokd.methods.basics.objectives import HiddenMSE, Logits
from autokd.models.hub import load_pretrained
from autokd.models.slots import build

CPU = torch.device("cpu")


def split_of(texts: Texts) -> Split:
    """The texts as the engine reads them."""
    return Split(texts.a, texts.b, texts.labels)


class EngineSystem:
    """The autokd arms."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        set_threads(arm.threads)

    def load(self, work: Path, load: Load) -> list[int]:
        self._read(work, load)
        ctx = self.context(Seeds(0), work)
        wants = reduce(Wants.__or__, [term.teacher_wants or Wants() for term in self.terms(ctx)])
        self.teacher = TeacherOutputs(self.models["teacher"], self.rows, ctx, wants)
        lengths: list[int] = self.rows.lengths.tolist()
        return lengths

    def fill(self, work: Path, task: str, depths: Sequence[int]) -> float:
        """Computes the teacher's outputs for students of these depths; returns the seconds that took."""
        self._read(work, Load(task, depths[0]))
        wants = Wants(frozenset(j for depth in depths for _, j in matched_states(depth)))
        began = time.perf_counter()
        TeacherOutputs(self.models["teacher"], self.rows, self.context(Seeds(0), work), wants)
        return time.perf_counter() - began

    def _read(self, work: Path, load: Load) -> None:
        folder = work / load.task
        train_split, dev_split = split_of(read(load.task, "train", load.limit)), split_of(read(load.task, "dev"))
        self.task = Task(load.task, train_split, dev_split, dev_split, ("0", "1"), "classification", "accuracy")
        self.rows = encode(train_split, folder / "teacher", MAX_LENGTH, "classification")
        self.dev_rows = encode(dev_split, folder / "teacher", MAX_LENGTH, "classification")
        folders = {"teacher": folder / "teacher", "student": folder / f"student-{load.layers}"}
        self.models = Models({name: load_pretrained(path, 2, Seeds(0)) for name, path in folders.items()})
        self.cache = work / "cache"

    def terms(self, ctx: Context) -> list[LossTerm]:
        objectives = (Logits("kl", TEMPERATURE), HiddenMSE("skip"))
        return [objective.build(self.models, ctx) for objective in objectives]

    def train(self, request: Request, clock: Clock) -> list[list[float]]:
        positions = tuple(request.rows) or tuple(range(len(self.rows)))
        values: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            ctx = self.context(Seeds(request.seed), Path(folder) / "loop")
            terms = self.terms(ctx)
            model = train(
                build(self.models["student"]),
                [Recorded(term, values) for term in terms] if request.losses else terms,
                TimedAdamW(clock),
                self.options(request),
                ctx,
                self.rows,
                sampler=ChosenRows(positions, clock),
                teacher=self.teacher,
            )
        per_step = len(terms)
        clock.losses += [sum(values[i : i + per_step]) for i in range(0, len(values), per_step)]
        return self.logits(model) if request.logits else []

    def options(self, request: Request) -> LoopOptions:
        return LoopOptions(
            epochs=request.epochs,
            batch_size=self.arm.batch,
            warmup_share=request.warmup,
            clip_norm=CLIP_NORM,
            dropout=request.dropout,
            freeze_embeddings=self.arm.freeze_embeddings,
        )

    def logits(self, model: nn.Module) -> list[list[float]]:
        found: list[list[float]] = predict(model, self.dev_rows, CPU).tolist()
        return found

    def context(self, seeds: Seeds, folder: Path) -> Context:
        return Context(
            task=self.task,
            rows=lambda split, slot: self.rows if split == "train" else self.dev_rows,
            encode=lambda split, slot: encode(split, slot.tokenizer, MAX_LENGTH, "classification"),
            base=lambda name: self.models[name],
            seeds=seeds,
            folder=folder,
            cache=self.cache,
            device=CPU,
            precision=dtype_of(self.arm.precision),
            report=lambda step, score: None,
            should_pause=lambda: False,
        )
