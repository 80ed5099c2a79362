"""Where a pipeline's forecast begins: how many rows there are, and the shapes of the models that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autokd.contracts import BaseModel, Sizes
from autokd.core.task import Task
from autokd.engine.asset_sizes import asset_sizes
from autokd.engine.nodes import start_shape
from autokd.models.bases import base_shape
from autokd.pipeline import Pipeline


def sizes_at_start(
    pipeline: Pipeline,
    task: Task,
    folders: Mapping[str, str | Path],
    bases: Mapping[str, BaseModel],
    length: float,
    max_length: int,
) -> Sizes:
    """The sizes before a pipeline's first stage, for training rows of a mean ``length`` that are cut at ``max_length``.

    ``folders`` are those of all models that the pipeline names, ``bases`` tells of those that stages start from: the
    first one is its teacher. Where it names none, its first stage makes the teacher.
    """
    shapes = {name: base_shape(folders[name], task.n_outputs) for name in bases}
    assets = pipeline.assets()
    return Sizes(
        len(task.train),
        length,
        next(iter(shapes.values()), None) or start_shape(task),
        unlabelled=task.n_unlabelled,
        bases=shapes,
        tuned=frozenset(name for name, base in bases.items() if base.is_tuned),
        tokenizers={name: base.tokenizer for name, base in bases.items()},
        assets={name: asset_sizes(folders[name], kind, task.n_outputs, max_length) for name, kind in assets.items()},
    )
