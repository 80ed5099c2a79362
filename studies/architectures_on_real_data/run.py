"""Students of other shapes on real data, at three sizes, all distilled alike. See README.md."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

from ahead import KINDS, ordered, supernets  # noqa: E402
from arms import SIZES, SPACES, supernet_name  # noqa: E402
from latency import timed  # noqa: E402
from page import page  # noqa: E402
from plan import CPU, GPU, Plan, Run, grid  # noqa: E402
from trainings.command import parser  # noqa: E402
from trainings.resumable import Rows, checked, make, read  # noqa: E402
from trainings.work import Place, kept_checkpoint  # noqa: E402

NAMES = ("cell", "arm", "size", "lr", "replicate")


def best(plan: Plan, done: Rows) -> dict[tuple[str, str, str], Run]:
    """Each arm's first replicate at its learning rate: the best validation score of the grid, the smaller of equals."""
    found = {}
    for cell in plan.cells:
        for arm in plan.arms:
            for size in SIZES:
                runs = [Run(cell, arm.name, size, lr, 0) for lr in plan.rates]
                scores = [(done[tuple(run.about.values())]["valid_score"], -run.lr) for run in runs]
                found[cell.name, arm.name, size] = runs[scores.index(max(scores))]
    return found


def finalists(plan: Plan, done: Rows) -> list[Run]:
    """The further seeds of every arm at its own best rate."""
    return [replace(run, replicate=seed) for seed in range(1, plan.seeds) for run in best(plan, done).values()]


def made_ahead(plan: Plan, work: Path, device: str, processes: int) -> dict[str, str]:
    """Folders of the supernets by the names that pipelines have for them."""
    pairs = [(kind, space) for space in sorted(set(SPACES.values())) for kind in KINDS]
    found = supernets([ordered(kind, space, plan.ahead, work, device) for kind, space in pairs], processes)
    return {supernet_name(*pair): made.folder for pair, made in zip(pairs, found, strict=True)}


def remake(runs: Sequence[Run], place: Place, path: Path) -> None:
    """Train again what left no checkpoint here: an earlier run's temporary folder is gone."""
    make([run for run in runs if not kept_checkpoint(run, place).is_dir()], {}, place, path, float("inf"))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, HERE).parse_args(arguments)
    plan = CPU if options.device == "cpu" else GPU
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"runs-{options.device}.jsonl"
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        assets = made_ahead(plan, work, options.device, options.processes)
        place = Place(str(work), options.device, options.processes, assets, keeps=plan.cells[0].name)
        done = read(path, NAMES)
        for runs in (lambda: list(grid(plan)), lambda: finalists(plan, done)):
            if not make(runs(), done, place, path, deadline):
                raise SystemExit("not all runs are done: the same command goes on")
            checked(done.values())
        chosen = best(plan, done)
        latencies = options.output / f"latency-{options.device}.json"
        if not latencies.is_file():
            first = {(arm, size): run for (cell, arm, size), run in chosen.items() if cell == place.keeps}
            remake(list(first.values()), place, path)
            latencies.write_text(json.dumps(timed(first, place), indent=1) + "\n")
    text = page(plan, done, chosen, json.loads(latencies.read_text()))
    (options.output / f"results-{options.device}.md").write_text(text)
    print(f"wrote {options.output / f'results-{options.device}.md'}")


if __name__ == "__main__":
    main()
