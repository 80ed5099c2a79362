"""The GLUE files as plain texts, read by hand so that every arm starts from the same rows."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# folder, columns of the texts, column of the label
LAYOUT: dict[str, tuple[str, tuple[int, ...], int]] = {
    "rte": ("RTE", (1, 2), 3),
    "mrpc": ("MRPC", (3, 4), 0),
    "sst2": ("SST-2", (0,), 1),
}


@dataclass(frozen=True)
class Texts:
    """Rows of one split. ``b`` is None for single sentences; ``labels`` index the sorted label names."""

    a: tuple[str, ...]
    b: tuple[str, ...] | None
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)


def glue_folder() -> Path:
    """The GLUE folder under AUTOKD_DATA. Raises SystemExit where there is none."""
    root = Path(os.environ.get("AUTOKD_DATA", ""))
    for folder in (root / "glue", root):
        if (folder / "RTE" / "train.tsv").is_file():
            return folder
    raise SystemExit("set AUTOKD_DATA to a folder that holds GLUE as it ships (RTE, MRPC, SST-2)")


def read(task: str, split: str, limit: int | None = None) -> Texts:
    """The rows of ``split`` (``train`` or ``dev``); with ``limit``, that many drawn without replacement."""
    folder, columns, label_column = LAYOUT[task]
    text = (glue_folder() / folder / f"{split}.tsv").read_text(encoding="utf-8-sig")
    rows = [line.rstrip("\r").split("\t") for line in text.split("\n")[1:] if line]
    if limit is not None and limit < len(rows):
        rows = random.Random(0).sample(rows, limit)
    names = sorted({row[label_column] for row in rows})
    sides = [tuple(row[column].strip() for row in rows) for column in columns]
    return Texts(sides[0], sides[1] if len(sides) == 2 else None, tuple(names.index(row[label_column]) for row in rows))


def tokenised(texts: Texts, tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """What Trainer's and TextBrewer's data loaders read: one dict a row, not padded."""
    coded = tokenizer(list(texts.a), None if texts.b is None else list(texts.b), truncation=True, max_length=max_length)
    names = ("input_ids", "token_type_ids", "attention_mask")
    return [{**{name: coded[name][i] for name in names}, "labels": label} for i, label in enumerate(texts.labels)]
