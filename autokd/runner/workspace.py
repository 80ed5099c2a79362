"""What the jobs of one worker share: the task, tokenised rows, base models. All of it is read-only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from autokd.contracts import BaseModel, Context, Rows, Sizes, Slot, StartsFresh
from autokd.core.errors import SpecError, unknown
from autokd.core.job import TrialSpec
from autokd.core.seeds import Seeds
from autokd.core.task import Problem, Split, Task
from autokd.engine.rows import encode
from autokd.models.bases import describe, load_base
from autokd.models.slots import shape_of_slot
from autokd.pipeline import Pipeline
from autokd.recommend.grid import propose_point
from autokd.runner.sizes import sizes_at_start
from autokd.runner.speed import KeptShares
from autokd.tasks.frozen import thaw


@lru_cache(maxsize=2)
def load_task(folder: str) -> Task:
    """The frozen task of a study, once per process."""
    return thaw(Path(folder))


@lru_cache(maxsize=16)
def _encoded(split: Split, tokenizer: str, max_length: int, problem: Problem) -> Rows:
    return encode(split, tokenizer, max_length, problem)


@dataclass(frozen=True)
class Workspace:
    """One trial's surroundings, from its spec."""

    spec: TrialSpec
    device: torch.device

    @property
    def task(self) -> Task:
        return load_task(self.spec.task)

    @property
    def seeds(self) -> Seeds:
        return Seeds(self.spec.seed, replicate=self.spec.replicate)

    @property
    def precision(self) -> torch.dtype:
        return torch.bfloat16 if self.spec.precision == "bfloat16" else torch.float32

    def asset(self, name: str) -> str:
        """The folder of a pretrained model. Raises SpecError for one that the study does not have."""
        if name not in self.spec.assets:
            raise SpecError(unknown("pretrained model", name, self.spec.assets))
        return self.spec.assets[name]

    def start(self, pipeline: Pipeline) -> Slot:
        """The network that a pipeline's first stage trains, before that.

        Raises SpecError where the first stage trains none.
        """
        bases, first = pipeline.base_models(), pipeline.stages[0]
        if bases:
            return self.base(bases[0], self.seeds)
        if not isinstance(first, StartsFresh):
            raise SpecError(f"a pipeline begins with a network to train, but {type(first).__name__} has none.")
        nowhere = Path(self.spec.cache)
        return first.start(self.context("start", nowhere, replicate=0, report=_silent, should_pause=_never))

    def base(self, name: str, seeds: Seeds) -> Slot:
        """A base model with a head for this task."""
        return load_base(self.asset(name), self.task.n_outputs, seeds, self.task.label_names)

    def describe(self, name: str) -> BaseModel:
        """What a base model is, for this task."""
        return describe(name, self.asset(name), self.task.problem, self.task.label_names)

    def bases(self, pipeline: Pipeline) -> dict[str, BaseModel]:
        """What the pretrained models are that a pipeline names."""
        return {name: self.describe(name) for name in pipeline.base_models()}

    def encode(self, split: Split, slot: Slot) -> Rows:
        """Tokenise rows for a slot's tokenizer."""
        return self.tokenised(split, slot.tokenizer)

    def tokenised(self, split: Split, tokenizer: str) -> Rows:
        """Tokenise rows with the tokenizer of a folder."""
        return _encoded(split, tokenizer, self.spec.max_length, self.task.problem)

    def rows(self, split: str, slot: Slot) -> Rows:
        """Tokenised rows of ``train`` or ``valid``; the test split is not for stages."""
        if split not in ("train", "valid"):
            raise SpecError(f"a stage may read the splits 'train' and 'valid', but asked for {split!r}.")
        return self.encode(getattr(self.task, split), slot)

    def sizes(self, base: Slot) -> Sizes:
        """Where a forecast starts: the rows to train on, and the shapes of the base models."""
        extents = self.rows("train", base).extents
        pipeline = Pipeline.from_json(self.spec.pipeline)
        folders = {name: self.asset(name) for name in (*pipeline.base_models(), *pipeline.assets())}
        length, longest = float(extents.mean()), self.spec.max_length
        sizes = sizes_at_start(pipeline, self.task, folders, self.bases(pipeline), length, longest)
        return replace(sizes, teacher=shape_of_slot(base))

    def median_length(self, slot: Slot) -> float:
        """The median of what the rows' cost grows with: tokens, or a graph's mean number of neighbours."""
        return float(self.rows("train", slot).extents.median())

    def context(
        self,
        stage: str,
        folder: Path,
        *,
        replicate: int,
        report: Callable[[int, float], None],
        should_pause: Callable[[], bool],
    ) -> Context:
        """What one stage may know and use."""
        seeds = self.seeds.at(stage, replicate)
        return Context(
            task=self.task,
            rows=self.rows,
            encode=self.encode,
            base=self.base,
            seeds=seeds,
            folder=folder,
            cache=Path(self.spec.cache),
            device=self.device,
            precision=self.precision,
            report=report,
            should_pause=should_pause,
            propose=propose_point,
            timer=KeptShares(Path(self.spec.cache), should_pause),
            describe=self.describe,
            asset=lambda name: Path(self.asset(name)),
        )


def _silent(step: int, score: float) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False


def job_device(device: str) -> torch.device:
    """The torch device of a job that was given a ``cpu`` or a ``gpu``."""
    return torch.device("cuda" if device == "gpu" else "cpu")
