"""Where a study's jobs run: on which device, and how many at once. Cores and GPUs are never shared by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError
from autokd.study import machine


@dataclass(frozen=True)
class Seats:
    """``workers`` jobs at once; on GPUs each has the share ``gpus_per_trial`` of one. ``notes`` are for the reader."""

    device: Literal["cpu", "gpu"]
    workers: int
    gpus_per_trial: float
    notes: tuple[str, ...] = ()


def find_seats(
    budget: Budget, workers: int | None = None, gpus_per_trial: float | None = None, address: str | None = None
) -> Seats:
    """The device whose time the budget counts (where it does not say: a GPU if there is one), and the workers.

    ``workers`` None: as many as there is room for; more are never used. ``address`` is that of a Ray cluster, whose
    devices count then. Raises BudgetError for a GPU budget without a GPU.
    """
    n_cores, n_gpus = _devices(address)
    if budget.device == "gpu" and n_gpus == 0:
        instead = budget.text.replace("gpu", "cpu")
        raise BudgetError(
            f"a budget in GPU time needs a GPU, but none is visible here; write CPU time instead, such as {instead}."
        )
    if budget.device == "cpu" or n_gpus == 0:
        return _seats("cpu", 0.0, workers, n_cores, f"there are {n_cores} cores, and workers never share one")
    share = 1.0 if gpus_per_trial is None else gpus_per_trial
    room = int(n_gpus / share)
    return _seats("gpu", share, workers, room, f"{room} fit on {n_gpus:g} GPUs")


def _seats(device: Literal["cpu", "gpu"], share: float, workers: int | None, room: int, why: str) -> Seats:
    if workers is None or workers <= room:
        return Seats(device, room if workers is None else workers, share)
    return Seats(device, room, share, (f"{workers} workers were asked for, but {why}.",))


def _devices(address: str | None) -> tuple[int, float]:
    if address is None:
        return machine.cores(), float(machine.gpus())
    from autokd.study.ray_tune import cluster_devices  # ray is only needed where it runs the study

    return cluster_devices(address)
