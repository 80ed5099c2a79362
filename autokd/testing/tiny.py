"""A tiny, learnable world for tests: a text task, a random BERT with its tokenizer, a trial spec that uses both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autokd.core.job import Job, JobKind, TrialSpec
from autokd.core.task import Split, Task
from autokd.models.tiny import tiny_checkpoint
from autokd.pipeline import Pipeline
from autokd.tasks.csbm import BlockModel, make_csbm
from autokd.tasks.frozen import freeze

_WORDS = {
    "river": ["water", "bank", "stream", "flow", "delta", "flood"],
    "stone": ["rock", "hill", "cliff", "sand", "quarry", "slate"],
}
_FILLER = ["the", "a", "old", "new", "near", "with", "and", "then", "small", "far"]

TINY_PIPELINE: Mapping[str, Any] = {
    "stages": [
        {"use": "basics:FineTuneTeacher", "model": "tiny", "epochs": 2},
        {"use": "basics:TruncateLayers", "keep": 1},
        {"use": "basics:Distil", "epochs": 2},
    ],
    "form": "float32",
}


def tiny_task(*, n_train: int = 48, n_valid: int = 24, n_test: int = 24, pair: bool = False, seed: int = 0) -> Task:
    """A two-class task that a tiny network can learn: which word field a sentence is made of."""
    draw = np.random.Generator(np.random.PCG64(seed))
    names = tuple(sorted(_WORDS))

    def sentence(label: int) -> str:
        words = [*draw.choice(_WORDS[names[label]], 3), *draw.choice(_FILLER, int(draw.integers(2, 6)))]
        return " ".join(draw.permutation(words))

    def split(n: int) -> Split:
        labels = tuple(int(v) for v in draw.integers(0, 2, n))
        second = tuple(sentence(label) for label in labels) if pair else None
        return Split(tuple(sentence(label) for label in labels), second, labels)

    return Task("tiny", split(n_train), split(n_valid), split(n_test), names, "classification", "accuracy")


def tiny_regression(n_train: int = 48, n_valid: int = 24, n_test: int = 24) -> Task:
    """The same sentences with real-valued targets around 1 and 4."""
    task = tiny_task(n_train=n_train, n_valid=n_valid, n_test=n_test)

    def values(split: Split) -> Split:
        return replace(split, labels=tuple(1.0 + 3.0 * label + 0.1 * (i % 5) for i, label in enumerate(split.labels)))

    return replace(
        task,
        train=values(task.train),
        valid=values(task.valid),
        test=values(task.test),
        label_names=(),
        problem="regression",
        metric="pearson",
    )


def tiny_graph(n: int = 80, seed: int = 0) -> Task:
    """Nodes of two classes in a small graph of a block model, told by their features and by their neighbours."""
    model = BlockModel(n=n, degree=6, features=20, edge_signal=2.0, feature_signal=60.0, seed=seed)
    return make_csbm(model, "tiny-graph")


def tiny_texts() -> list[str]:
    """All words of the tiny tasks, to build a tokenizer from."""
    return [" ".join([*_FILLER, *(word for words in _WORDS.values() for word in words)])]


def tiny_spec(
    root: Path, pipeline: Mapping[str, Any] = TINY_PIPELINE, *, task: Task | None = None, **changes: Any
) -> TrialSpec:
    """A trial spec whose task, base model (named ``tiny``) and cache lie under ``root``; ``changes`` replace fields."""
    if not (root / "models" / "tiny").exists():
        tiny_checkpoint(root / "models" / "tiny", tiny_texts())
    used = task or tiny_task()
    place = root / "tasks" / used.content
    if not place.exists():
        freeze(used, place)
    spec = TrialSpec(
        pipeline=Pipeline.from_json(pipeline).to_json(),
        task=str(place),
        assets={"tiny": str(root / "models" / "tiny")},
        cache=str(root / "cache"),
        seed=1,
        max_length=32,
    )
    return replace(spec, **changes)


def tiny_job(
    root: Path, spec: TrialSpec, kind: JobKind = "trial", *, name: str = "", deadline_seconds: float = 1e9
) -> Job:
    """A job for a spec, in a folder of its own under ``root``."""
    name = name or kind
    return Job(name, kind, spec, str(root / "jobs" / name), deadline_seconds)
