"""Supernets made ahead of all tasks, as ``autokd supernet`` makes them, but for a number of steps."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from arms import supernet_name
from plan import Ahead

from autokd.engine.precision import best_precision
from autokd.models.assets import find_model
from autokd.runner.ahead import Made, Order, make_supernet
from autokd.runner.workspace import job_device
from autokd.tasks.corpus import read_corpus

KINDS: Mapping[str, str] = {"plain": "autodistil:TrainSupernet", "mixture": "mixture_of_supernets:TrainSupernet"}
HELD_OUT = 256  # texts of the corpus that no supernet is trained on


@dataclass(frozen=True)
class Supernet:
    """A supernet's folder; what it took, and how many steps it had, are in ``facts``."""

    folder: str
    facts: Mapping[str, Any]


def corpus() -> Path:
    return Path(os.environ["AUTOKD_DATA"]) / "corpus" / "books.txt.gz"


def supernets(orders: Iterable[Order], processes: int) -> list[Supernet]:
    """Each order's supernet; those that are there already are not made again."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(made, orders))


def made(order: Order) -> Supernet:
    """The supernet of an order, and how long it took (where it was interrupted: from there)."""
    facts, name = Path(order.output).with_suffix(".json"), Path(order.output).name
    if not facts.is_file():
        began = time.monotonic()
        found = make_supernet(order, lambda step, of, loss: print(f"{name}: {step}/{of}, {loss:.4f}", flush=True))
        facts.write_text(json.dumps(_facts(found, order, time.monotonic() - began)))
    return Supernet(order.output, json.loads(facts.read_text()))


def _facts(found: Made, order: Order, seconds: float) -> dict[str, Any]:
    return {
        "stage": order.stage["use"],
        "space": order.stage["space"],
        "subnets": found.n_subnets,
        "params": list(found.params),
        "steps": found.steps,
        "batch_size": order.stage["batch_size"],
        "max_length": order.max_length,
        "loss": found.loss,
        "seconds": round(seconds, 1),
    }


def ordered(kind: str, space: str, ahead: Ahead, work: Path, device: str) -> Order:
    """A supernet of one of ``KINDS``, for a plan's number of steps."""
    rows = len(read_corpus(corpus())) - HELD_OUT
    (work / "supernets").mkdir(parents=True, exist_ok=True)
    return Order(
        stage={"use": KINDS[kind], "space": space, "batch_size": ahead.batch_size},
        teacher=str(find_model("minilm").folder),
        corpus=str(corpus()),
        output=str(work / "supernets" / supernet_name(kind, space)),
        seconds=math.inf,
        max_length=ahead.max_length,
        precision=best_precision(job_device(device)),
        device=device,
        epochs=(ahead.steps[space] + 0.5) / -(-rows // ahead.batch_size),  # the half is for rounding
    )
