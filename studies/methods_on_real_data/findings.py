"""Distiller's three findings, tried here (arXiv:2109.11105, section 4). See README.md.

A random study of its space on two tasks says which choice explains most of the differences, and how MI-alpha does
against the other intermediate objectives; further trainings on growing parts of a task say where augmentation helps.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import numpy as np  # noqa: E402
from arms import LABELS, LAYERS, LOGITS_MSE, Json, Setting, distil, started  # noqa: E402
from findings_page import page  # noqa: E402
from plan import Cell  # noqa: E402
from trainings.command import parser  # noqa: E402
from trainings.resumable import checked, make, read  # noqa: E402
from trainings.work import Place  # noqa: E402

NAMES = ("part", "cell", "layers", "choice", "replicate")
DRAWS, SEEDS, LR, STEPS_OF_16, TEACHER_ROWS = 32, 3, 2e-4, 235, 9_600
# Rows are cut so that a training takes seconds; the transformer critic is left out: its step costs ten others.
RANDOM = (Cell("tweet_emotion", 1_250, 3, batch_size=16), Cell("cola", 1_250, 3, batch_size=16))
GROWING = tuple(Cell("tweet_emotion", rows, STEPS_OF_16 * 16 / rows, batch_size=16) for rows in (200, 3_200))
SOFT: Json = {"use": "basics:Logits", "form": "ce", "temperature": 1.0}
HIDDEN: Mapping[str, Json | None] = {
    "none": None,
    "mse": {"use": "basics:HiddenMSE"},
    "cosine": {"use": "distiller:Cosine"},
    "pkd": {"use": "distiller:PKD"},
    "ce": {"use": "distiller:HiddenCE"},
    "mi": {"use": "mi_alpha:MutualInformation", "critic": "mlp"},
}
AUGMENT: Mapping[str, list[Json]] = {
    "none": [],
    "word swap": [{"use": "basics:WordSwap"}],
    "mixup": [{"use": "basics:Mixup"}],
}
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "intermediate objective": tuple(HIDDEN),
    "layer map": ("skip", "last", "emd"),
    "prediction loss": ("ce", "mse"),
    "gold labels": ("no", "yes"),
    "augmentation": tuple(AUGMENT),
}


@dataclass(frozen=True)
class Draw:
    """A training of the random study (``choice`` says all) or of the growing parts (``choice``: the augmentation)."""

    part: str
    cell: Cell
    layers: int
    choice: str
    replicate: int

    @property
    def about(self) -> Json:
        task = f"{self.cell.task} {self.cell.rows}"
        return dict(zip(NAMES, (self.part, task, self.layers, self.choice, self.replicate), strict=True))

    @cached_property
    def pipeline(self) -> Json:
        setting = Setting(regression=False, epochs=self.cell.epochs, lr=LR, batch_size=self.cell.batch_size)
        last = self._random(setting) if self.part == "random" else self._grown(setting)
        return started([last], self.layers, TEACHER_ROWS / (self.cell.rows or TEACHER_ROWS))

    def _random(self, setting: Setting) -> Json:
        chosen = dict(zip(CHOICES, self.choice.split("/"), strict=True))
        hidden = HIDDEN[chosen["intermediate objective"]]
        terms = [SOFT if chosen["prediction loss"] == "ce" else LOGITS_MSE]
        terms += [LABELS] if chosen["gold labels"] == "yes" else []
        terms += [] if hidden is None else [{**hidden, "layers": chosen["layer map"]}]
        return _augmented(distil(setting, *terms), chosen["augmentation"])

    def _grown(self, setting: Setting) -> Json:
        return _augmented(distil(setting, SOFT, LABELS), self.choice)


def _augmented(stage: Json, choice: str) -> Json:
    """The same steps whatever is added: a copy of the rows takes half of each epoch."""
    epochs = stage["epochs"] / 2 if choice == "word swap" else stage["epochs"]
    return {**stage, "augmenters": AUGMENT[choice], "epochs": epochs}


def random_study() -> Iterator[Draw]:
    """The draws, the same for each task, in turns."""
    draw = np.random.default_rng(0)
    for _ in range(DRAWS):
        chosen = {name: options[int(draw.integers(len(options)))] for name, options in CHOICES.items()}
        text = "/".join(str(value) for value in chosen.values())
        for cell in RANDOM:
            yield Draw("random", cell, LAYERS, text, 0)


def growing() -> Iterator[Draw]:
    """Little data and all of it; small and larger students; with and without augmentation."""
    for replicate in range(SEEDS):
        for cell in GROWING:
            for layers in (1, 3):
                for choice in AUGMENT:
                    yield Draw("growing", cell, layers, choice, replicate)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, HERE).parse_args(arguments)
    path, deadline = options.output / "findings.jsonl", time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        place = Place(str(options.work or folder), options.device, options.processes)
        done = read(path, NAMES)
        if not make([*random_study(), *growing()], done, place, path, deadline):
            raise SystemExit("not all runs are done: the same command goes on")
        checked(done.values())
    text = page([draw.about | done[tuple(draw.about.values())] for draw in (*random_study(), *growing())], CHOICES)
    (options.output / "findings.md").write_text(text)
    print(f"wrote {options.output / 'findings.md'}")


if __name__ == "__main__":
    main()
