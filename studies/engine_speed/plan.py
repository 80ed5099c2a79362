"""What is compared: the arms, the cells (task and depth) they run in, and the recipe that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TEACHER_LAYERS = 6
MAX_LENGTH = 128
TEMPERATURE = 2.0
LEARNING_RATE = 1e-4
WARMUP = 0.1
CLIP_NORM = 1.0
BATCH = 16
DROPOUT = 0.1


@dataclass(frozen=True)
class Arm:
    """One way to train. ``by_length`` is Trainer's ``train_sampling_strategy="group_by_length"``.

    ``everywhere`` False: measured in the first cell only. Every process of an arm has ``threads`` threads and trains
    its own student on all the rows.
    """

    name: str
    system: Literal["trainer", "textbrewer", "autokd"]
    precision: Literal["float32", "bfloat16"]
    processes: int = 1
    threads: int = 2
    batch: int = BATCH
    dropout: float = DROPOUT
    freeze_embeddings: bool = False
    by_length: bool = False
    everywhere: bool = True

    @property
    def recipe_changes(self) -> str:
        """How the arm's recipe differs from the common one; empty where it does not."""
        changes = [f"batch {self.batch}"] if self.batch != BATCH else []
        changes += [f"dropout {self.dropout:g}"] if self.dropout != DROPOUT else []
        changes += ["embeddings frozen"] if self.freeze_embeddings else []
        return ", ".join(changes)


ARMS = (
    Arm("Trainer float32", "trainer", "float32"),
    Arm("Trainer bf16", "trainer", "bfloat16"),
    Arm("Trainer float32, by length", "trainer", "float32", by_length=True, everywhere=False),
    Arm("Trainer bf16, by length", "trainer", "bfloat16", by_length=True, everywhere=False),
    Arm("TextBrewer float32", "textbrewer", "float32", everywhere=False),
    Arm("autokd float32", "autokd", "float32"),
    Arm("autokd bf16", "autokd", "bfloat16"),
    Arm("autokd float32, 2 processes", "autokd", "float32", processes=2, threads=1),
    Arm("autokd bf16, 2 processes", "autokd", "bfloat16", processes=2, threads=1),
    Arm("autokd bf16, dropout off", "autokd", "bfloat16", dropout=0.0, everywhere=False),
    Arm("autokd bf16, frozen", "autokd", "bfloat16", dropout=0.0, freeze_embeddings=True, everywhere=False),
    Arm("autokd bf16, batch 32", "autokd", "bfloat16", batch=32, dropout=0.0, everywhere=False),
    Arm(
        "autokd bf16, frozen, batch 32",
        "autokd",
        "bfloat16",
        batch=32,
        dropout=0.0,
        freeze_embeddings=True,
        everywhere=False,
    ),
)
QUALITY_ARMS = ("Trainer float32", "Trainer bf16", "autokd float32", "autokd bf16", "autokd bf16, frozen, batch 32")


@dataclass(frozen=True)
class Cell:
    """A task with a student depth, and how many rows one repetition trains on."""

    task: Literal["rte", "mrpc"]
    layers: int
    rows: int


@dataclass(frozen=True)
class Plan:
    """How much of everything; ``rows`` are multiples of 32, so that every batch is full."""

    cells: tuple[Cell, ...]
    rounds: int
    seeds: int
    quality_rows: int
    quality_epochs: int
    quality_arms: tuple[str, ...]
    teacher_rows: int = 256  # for the speed tasks: their teachers' weights do not matter much
    quality_task: str = "sst2"

    @property
    def depths(self) -> dict[str, tuple[int, ...]]:
        """The student depths that are measured on each task."""
        return {task: tuple(cell.layers for cell in self.cells if cell.task == task) for task in self.tasks}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the cells, once each."""
        return tuple(dict.fromkeys(cell.task for cell in self.cells))


FULL = Plan(
    cells=(Cell("rte", 3, 320), Cell("rte", 2, 192), Cell("mrpc", 3, 192), Cell("mrpc", 2, 192)),
    rounds=3,
    seeds=3,
    quality_rows=1000,
    quality_epochs=2,
    quality_arms=QUALITY_ARMS,
)
QUICK = Plan(
    cells=(Cell("rte", 3, 96),),
    rounds=2,
    seeds=3,
    quality_rows=320,
    quality_epochs=2,
    quality_arms=("Trainer bf16", "autokd bf16"),
)


def origins(layers: int) -> tuple[int, ...]:
    """The teacher layers (1-based) that a student of this depth is made of."""
    return tuple(i * TEACHER_LAYERS // layers for i in range(1, layers + 1))


def matched_states(layers: int) -> tuple[tuple[int, int], ...]:
    """Which hidden states are compared, (student's, teacher's): the embeddings, and each layer with its origin."""
    return ((0, 0), *enumerate(origins(layers), start=1))
