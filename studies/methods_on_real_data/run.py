"""Every training method on real data, the same student and steps for all. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from arms import LEARNING_RATES  # noqa: E402
from page import page  # noqa: E402
from plan import CPU, GPU, Plan, Run, grid  # noqa: E402
from work import Place, train  # noqa: E402

Rows = dict[tuple[str, str, float, int], dict[str, Any]]


def read(path: Path) -> Rows:
    """The runs that are done already, the last word on each."""
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return {(row["cell"], row["arm"], row["lr"], row["replicate"]): row for row in rows}


def best_rates(plan: Plan, done: Rows) -> dict[tuple[str, str], float]:
    """Each arm's learning rate: the best validation score over the grid, the smaller rate of equals."""
    found = {}
    for cell in plan.cells:
        for arm in cell.arms:
            scores = [(done[cell.name, arm.name, lr, 0]["valid_score"], -lr) for lr in LEARNING_RATES]
            found[cell.name, arm.name] = -max(scores)[1]
    return found


def finalists(plan: Plan, done: Rows) -> list[Run]:
    """The further seeds of every arm at its own best rate."""
    rates = best_rates(plan, done)
    return [
        Run(cell, arm.name, rates[cell.name, arm.name], replicate)
        for cell in plan.cells
        for replicate in range(1, plan.seeds)
        for arm in cell.arms
    ]


def make(runs: Iterable[Run], done: Rows, place: Place, output: Path, deadline: float) -> bool:
    """Train what is not done, each run's row appended as it ends. Whether all of them are done now."""
    waiting = [run for run in runs if run.key not in done]
    with ProcessPoolExecutor(place.processes, mp_context=get_context("spawn")) as pool:
        open_runs = {}
        while (waiting or open_runs) and not (time.monotonic() > deadline and not open_runs):
            while waiting and len(open_runs) < place.processes and time.monotonic() < deadline:
                run = waiting.pop(0)
                open_runs[pool.submit(train, run, place)] = run
            ended = next(as_completed(open_runs))
            run, row = open_runs.pop(ended), ended.result()
            done[run.key] = row
            with output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            told = row.get("error") or f"valid {row['valid_score']:.4f}, test {row['test_score']:.4f}"
            print(f"{run.cell.name}, {run.arm}, {run.lr:g}, seed {run.replicate}: {told}", flush=True)
            if time.monotonic() > deadline and not open_runs:
                break
    return not [run for run in runs if run.key not in done]


def checked(rows: Mapping[Any, Mapping[str, Any]]) -> None:
    """SystemExit where a run failed: a table with holes compares nothing."""
    failed = [f"{row['cell']}, {row['arm']}: {row['error']}" for row in rows.values() if row.get("error")]
    if failed:
        raise SystemExit("these runs failed:\n" + "\n".join(failed))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: all tasks, 5 seeds")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="runs at once, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long; run it again")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of teachers and caches, kept (default: a temporary one)")
    parser.add_argument("--arms", nargs="*", help="only these arms, and no page")
    parser.add_argument("--cells", nargs="*", help="only these cells (cola, rte, 'cola, pruned' ...)")
    options = parser.parse_args(arguments)
    plan = CPU if options.device == "cpu" else GPU
    plan = plan.only(options.cells, options.arms)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"runs-{options.device}.jsonl"
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        place = Place(str(options.work or folder), options.device, options.processes)
        done = read(path)
        for runs in (lambda: list(grid(plan)), lambda: finalists(plan, done)):
            if not make(runs(), done, place, path, deadline):
                raise SystemExit("not all runs are done: the same command goes on")
            checked(done)
    if options.arms:
        return
    rates = best_rates(plan, done)
    (options.output / f"results-{options.device}.md").write_text(page(plan, done, rates, asdict(place)))
    print(f"wrote {options.output / f'results-{options.device}.md'}")


if __name__ == "__main__":
    main()
