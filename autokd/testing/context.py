"""A context for running a stage by hand: small, in one folder, without runner or study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from autokd.contracts import Context, Rows, Slot
from autokd.core.seeds import Seeds
from autokd.core.task import Split, Task
from autokd.engine.rows import encode
from autokd.models.tiny import tiny_slot, tiny_tokenizer
from autokd.models.tiny_text import tiny_masked_lm, tiny_translator
from autokd.recommend.grid import propose_point
from autokd.testing.supernets import tiny_supernet

_MAX_LENGTH = 32


def tiny_context(
    root: Path,
    task: Task,
    stage: str,
    *,
    folder: str = "stage",
    seed: int = 1,
    replicate: int = 0,
    should_pause: Callable[[], bool] = lambda: False,
    reports: list[tuple[int, float]] | None = None,
    precision: torch.dtype = torch.float32,
    depth: int = 2,
) -> Context:
    """A context on the CPU for the stage at an address (``"basics:Distil"``), whose seeds are that stage's.

    Every base model is a random encoder of ``depth`` layers and width 16 with a tokenizer of the task's words, made
    under ``root``. What methods read beside them is made too: a masked language model where "masked" or "bert" is in
    the name, a supernet where that is, else a translator. The stage's own folder is ``root / folder``: two runs that
    must not resume each other need two names. ``reports`` gathers what is reported.
    """
    tokenizer = root / "tokenizer"
    if task.kind == "text" and not (tokenizer / "tokenizer.json").exists():
        tiny_tokenizer([*task.train.text_a, *(task.train.text_b or ())], tokenizer)
    gathered = [] if reports is None else reports

    def asset(name: str) -> Path:
        place, texts = root / "assets" / name, task.train.texts
        if not (place / "config.json").exists() and "supernet" in name:
            tiny_supernet(place, tokenizer, depth=depth)
        elif not (place / "config.json").exists():
            make = tiny_masked_lm if "masked" in name or "bert" in name else tiny_translator
            make(place, texts, seed=len(name))
        return place

    def encoded(split: Split, slot: Slot) -> Rows:
        return encode(split, slot.tokenizer, _MAX_LENGTH, task.problem)

    return Context(
        task=task,
        rows=lambda name, slot: encoded(getattr(task, name), slot),
        encode=encoded,
        base=lambda name, seeds: tiny_slot(seed, tokenizer, labels=task.n_outputs, depth=depth),
        seeds=Seeds(seed, stage, replicate),
        folder=root / folder,
        cache=root / "cache",
        device=torch.device("cpu"),
        precision=precision,
        report=lambda step, score: gathered.append((step, score)),
        should_pause=should_pause,
        propose=propose_point,
        asset=asset,
    )
