"""Every training method on real data, the same student and steps for all. See README.md."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

from arms import LEARNING_RATES  # noqa: E402
from page import page  # noqa: E402
from plan import CPU, GPU, Plan, Run, grid  # noqa: E402
from trainings.command import parser  # noqa: E402
from trainings.resumable import Rows, checked, make, read  # noqa: E402
from trainings.work import Place  # noqa: E402

NAMES = ("cell", "arm", "lr", "replicate")


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


def main(arguments: Sequence[str] | None = None) -> None:
    options_of = parser(__doc__, HERE)
    options_of.add_argument("--arms", nargs="*", help="only these arms, and no page")
    options_of.add_argument("--cells", nargs="*", help="only these cells (cola, rte, 'cola, pruned' ...)")
    options = options_of.parse_args(arguments)
    plan = CPU if options.device == "cpu" else GPU
    plan = plan.only(options.cells, options.arms)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"runs-{options.device}.jsonl"
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        place = Place(str(options.work or folder), options.device, options.processes)
        done = read(path, NAMES)
        for runs in (lambda: list(grid(plan)), lambda: finalists(plan, done)):
            if not make(runs(), done, place, path, deadline):
                raise SystemExit("not all runs are done: the same command goes on")
            checked(done.values())
    if options.arms:
        return
    rates = best_rates(plan, done)
    (options.output / f"results-{options.device}.md").write_text(page(plan, done, rates, asdict(place)))
    print(f"wrote {options.output / f'results-{options.device}.md'}")


if __name__ == "__main__":
    main()
