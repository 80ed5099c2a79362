"""Where bandits pay in neighbour sampling: samplers side by side on three graphs, ten seeds each. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from page import page
from watch import Seen, ShowModel, Watched

from autokd.contracts import Models, Sampler
from autokd.core.seeds import Seeds
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.engine.evaluate import predict
from autokd.engine.loop import LoopOptions, train
from autokd.engine.rows import encode
from autokd.methods.basics import AdamW, Labels
from autokd.methods.graph import GcnStudent
from autokd.methods.thanos import BanditSampler, Thanos, Uniform
from autokd.models.slots import build
from autokd.tasks.load import load_task
from autokd.testing.context import tiny_context

HERE = Path(__file__).parent
BATCH = 64
OPTIMIZER = AdamW(lr=0.01, weight_decay=0.05)
STUDENT = GcnStudent(hidden=64, dropout=0.5)


@dataclass(frozen=True)
class Arena:
    """A graph, how long students train on it, and how many neighbours are drawn."""

    source: DataSource
    steps: int = 200
    ks: tuple[int, ...] = (3, 8)


def arenas(data_dir: str | None) -> dict[str, Arena]:
    """The block model always, real graphs where there is a folder of them."""
    made = {"csbm": Arena(DataSource("csbm")), "csbm, long": Arena(DataSource("csbm"), steps=1000, ks=(3,))}
    real = {name: Arena(DataSource(f"graph/{name}.npz", data_dir)) for name in ("cora", "citeseer")}
    return made if data_dir is None else {**made, **real}


def samplers(k: int) -> dict[str, Sampler | None]:
    return {"full": None, "uniform": Uniform(k), "bandit": BanditSampler(k), "thanos": Thanos(k)}


def one(task: Task, sampler: Sampler | None, seed: int, steps: int) -> dict[str, float]:
    """One student trained on labels with one sampler, scored with all neighbours on the test nodes."""
    with tempfile.TemporaryDirectory(prefix="autokd-graph-") as place:
        ctx = tiny_context(Path(place), task, "studies:graph_sampling", seed=seed)
        start = STUDENT.run(Models(), ctx)["student"]
        rows, seen = ctx.rows("train", start), Seen()
        per_epoch = -(-len(rows) // BATCH)
        trained = train(
            build(start),
            [Labels().build(Models(), ctx)],
            OPTIMIZER,
            LoopOptions(steps / per_epoch, BATCH, warmup_share=0.0),
            ctx,
            rows,
            sampler=Watched(sampler, seen),
            hooks=(ShowModel(seen),),
        )
        test = encode(task.test, "", 1, task.problem)
        logits = predict(trained, test, torch.device("cpu")).numpy()
    accuracy = float((logits.argmax(axis=1) == test.labels.numpy()).mean())
    distance = float(np.mean(seen.distances)) if seen.distances else 0.0
    return {"accuracy": accuracy, "distance": distance, "step_ms": 1000 * float(np.median(seen.seconds))}


def measure(task: Task, arena: Arena, seeds: int) -> dict[str, list[dict[str, float]]]:
    """Runs by sampler; samplers take turns within a seed, so that what else the machine does falls on all alike."""
    arms = {"full": None} | {f"{name}, k={k}": s for k in arena.ks for name, s in samplers(k).items() if s is not None}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for seed in range(seeds):
        names = list(arms)
        for i in Seeds(seed).numpy("turns").permutation(len(names)):
            found[names[i]].append(one(task, arms[names[i]], seed, arena.steps))
    return found


def main() -> None:
    """Measure, and add to what the output folder holds already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=os.environ.get("AUTOKD_DATA"), help="holds graph/cora.npz ...")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="+", help="arenas to measure (again), such as csbm")
    parser.add_argument("--output", type=Path, default=HERE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = given.output / "results.json"
    runs: dict[str, Any] = json.loads(file.read_text())["runs"] if given.only and file.is_file() else {}
    machine = {"cores": os.cpu_count(), "threads": 1, "python": platform.python_version(), "torch": version("torch")}
    for name, arena in arenas(given.data_dir).items():
        if given.only and name not in given.only:
            continue
        made = measure(load_task(arena.source, seed=0), arena, given.seeds)
        runs[name] = {"steps": arena.steps, "batch": BATCH, "arms": made}
        results = {"machine": machine, "runs": runs}
        file.write_text(json.dumps(results, indent=1) + "\n")
        (given.output / "results.md").write_text(page(results))
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
