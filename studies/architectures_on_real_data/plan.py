"""How much of it: tasks, rows, epochs, seeds and how long supernets are trained, on a CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from arms import ARMS, SIZES, Arm, Json


@dataclass(frozen=True)
class Cell:
    """A task with how much of it is trained on. ``rows`` None: all of its training rows."""

    task: str
    rows: int | None
    epochs: float
    batch_size: int = 16

    @property
    def name(self) -> str:
        return self.task


@dataclass(frozen=True)
class Ahead:
    """How supernets are trained ahead: steps by sub-space, texts a step, tokens a text."""

    steps: Mapping[str, int]
    batch_size: int
    max_length: int


@dataclass(frozen=True)
class Plan:
    """``rates``: learning rates, of which each arm has the best by validation; one: all have that. ``skips``: arms that
    are left out."""

    cells: tuple[Cell, ...]
    rates: tuple[float, ...]
    seeds: int
    ahead: Ahead
    skips: tuple[str, ...] = ()

    @property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in ARMS if arm.name not in self.skips)


@dataclass(frozen=True)
class Run:
    """One training: a cell's arm at a size, by their names, with a learning rate and a replicate."""

    cell: Cell
    arm: str
    size: str
    lr: float
    replicate: int

    @property
    def about(self) -> Json:
        """What tells runs apart in the results."""
        return {
            "cell": self.cell.name,
            "arm": self.arm,
            "size": self.size,
            "lr": self.lr,
            "replicate": self.replicate,
        }

    @property
    def pipeline(self) -> Json:
        arm = next(arm for arm in ARMS if arm.name == self.arm)
        return arm.pipeline(self.size, self.lr, self.cell.epochs, self.cell.batch_size)


CPU = Plan(
    cells=(Cell("tweet_emotion", 1_500, 3), Cell("mrpc", 640, 3), Cell("rte", 240, 3)),
    rates=(2e-4,),
    seeds=3,
    ahead=Ahead({"small": 2_000, "base": 600}, batch_size=16, max_length=48),
    skips=("pruned, by layer",),
)
GPU = Plan(
    cells=(
        Cell("tweet_emotion", None, 5, 32),
        Cell("mrpc", None, 5, 32),
        Cell("rte", None, 5, 32),
        Cell("cola", None, 5, 32),
        Cell("sst2", 20_000, 3, 32),
    ),
    rates=(1e-4, 3e-4),
    seeds=5,
    ahead=Ahead({"small": 20_000, "base": 20_000}, batch_size=64, max_length=128),
)


def grid(plan: Plan) -> Iterator[Run]:
    """Every arm at every size with every learning rate, once."""
    for cell in plan.cells:
        for lr in plan.rates:
            for size in SIZES:
                for arm in plan.arms:
                    yield Run(cell, arm.name, size, lr, 0)
