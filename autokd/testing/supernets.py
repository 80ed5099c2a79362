"""A tiny supernet that was made ahead."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from autokd.methods.basics.relations import Relations
from autokd.models.elastic import shape_of
from autokd.models.subspaces import subspace
from autokd.models.supernet import supernet_from
from autokd.models.supernet_folder import save_supernet
from autokd.models.tiny import tiny_slot


def tiny_supernet(folder: Path, tokenizer: Path, *, seed: int = 5, depth: int = 2) -> Path:
    """Write the supernet of the sub-space ``base`` that a random encoder starts with, and that encoder; gives the
    folder."""
    teacher = tiny_slot(seed, tokenizer, labels=1, depth=depth)
    shape = shape_of(teacher)
    supernet = supernet_from(teacher, shape, subspace("base", shape))
    taught = replace(supernet, config={**supernet.config, "loss": asdict(Relations(heads=4))})
    save_supernet(taught, teacher, folder, {"steps": 0})
    return folder
