"""A folder to work in as a user would: a small csv, a tiny teacher, a space of its own."""

from __future__ import annotations

import random
from pathlib import Path

from autokd.models.tiny import tiny_checkpoint

SPACE = """
stages:
  - use: basics:FineTuneTeacher
    model: {name: teacher, pick: [auto]}
    epochs: 6
    batch_size: 16
    optimizer: {use: basics:AdamW, lr: 0.01}
  - {use: basics:TruncateLayers, keep: {name: layers, pick: [1, 2]}}
  - use: basics:Distil
    objectives: [{use: basics:Logits, temperature: {name: temperature, pick: [1.0, 2.0]}}]
    optimizer: {use: basics:AdamW, lr: {name: lr, low: 0.003, high: 0.02, log: true}}
    epochs: 4
    batch_size: 16
form: float32
"""
WORDS = {"good": ["bright", "warm", "lovely", "kind"], "bad": ["dark", "cold", "awful", "cruel"]}
FILLERS = ["the", "a", "of", "and", "film", "day", "it"]


def make_workplace(folder: Path) -> None:
    """Write ``mine.csv`` (200 rows, two classes), ``teacher`` (a tiny checkpoint) and ``small.yaml``."""
    rng = random.Random(0)
    rows = []
    for index in range(200):
        label = ("bad", "good")[index % 2]
        words = [*rng.choices(FILLERS, k=4), rng.choice(WORDS[label]), f"{rng.choice(FILLERS)}{index % 9}"]
        rng.shuffle(words)
        rows.append((" ".join(words), label))
    (folder / "mine.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    (folder / "small.yaml").write_text(SPACE)
    tiny_checkpoint(folder / "teacher", [text for text, _ in rows])
