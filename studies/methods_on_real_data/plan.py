"""How much of it: the tasks, their rows, epochs and seeds, on a CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from arms import ARMS, LEARNING_RATES, Arm, Json, Setting


@dataclass(frozen=True)
class Cell:
    """A task with how much of it is trained on. ``rows`` None: all of its training rows; ``skips``: arms left out."""

    task: str
    rows: int | None
    epochs: float
    prunes: bool = False
    regression: bool = False
    batch_size: int = 32
    skips: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How results name it."""
        return f"{self.task}, pruned" if self.prunes else self.task

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that run here: those named in ``only``, or all of them."""
        named = [arm for arm in ARMS if not self.only or arm.name in self.only]
        return tuple(arm for arm in named if arm.prunes == self.prunes and arm.name not in self.skips)


@dataclass(frozen=True)
class Plan:
    cells: tuple[Cell, ...]
    seeds: int

    def only(self, cells: Sequence[str] | None, arms: Sequence[str] | None) -> Plan:
        """The part of the plan with these cells and arms (None: all)."""
        kept = [cell for cell in self.cells if not cells or cell.name in cells]
        named = [replace(cell, only=tuple(arms or ())) for cell in kept]
        return replace(self, cells=tuple(cell for cell in named if cell.arms))


@dataclass(frozen=True)
class Run:
    """One training: a cell's arm, by its name, with a learning rate and a replicate."""

    cell: Cell
    arm: str
    lr: float
    replicate: int

    @property
    def about(self) -> Json:
        """What tells runs apart in the results."""
        return {"cell": self.cell.name, "arm": self.arm, "lr": self.lr, "replicate": self.replicate}

    @property
    def pipeline(self) -> Json:
        arm = next(arm for arm in ARMS if arm.name == self.arm)
        return arm.pipeline(Setting(self.cell.regression, self.cell.epochs, self.lr, self.cell.batch_size))


# Other texts are two to six times as long as those of CoLA: fewer rows, in smaller batches for the sake of steps.
FURTHER = ("layer-wise cosine", "PKD")
CPU = Plan(
    cells=(
        Cell("cola", 2_500, 3),
        Cell("tweet_emotion", 1_250, 3, batch_size=16),
        Cell("mrpc", 800, 3, batch_size=16, skips=FURTHER),
        Cell("rte", 800, 3, batch_size=16, skips=FURTHER),
        Cell("cola", None, 8, prunes=True),
    ),
    seeds=3,
)
GPU = Plan(
    cells=(
        Cell("cola", None, 5),
        Cell("tweet_emotion", None, 5),
        Cell("mrpc", None, 5),
        Cell("rte", None, 5),
        Cell("stsb", None, 5, regression=True),
        Cell("mr", None, 5),
        Cell("sst2", 20_000, 3),
        Cell("cola", None, 15, prunes=True),
        Cell("sst2", 20_000, 5, prunes=True),
    ),
    seeds=5,
)


def grid(plan: Plan) -> Iterator[Run]:
    """Every arm with every learning rate, once."""
    for cell in plan.cells:
        for lr in LEARNING_RATES:
            for arm in cell.arms:
                yield Run(cell, arm.name, lr, 0)
