"""How well a supernet's shared weights rank its sub-networks, and what searching it costs. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import numpy as np  # noqa: E402
from ahead import KINDS, Supernet, ordered, supernets  # noqa: E402
from alone import drawn, trained_alone  # noqa: E402
from plan import CPU, GPU  # noqa: E402
from scipy.stats import kendalltau, spearmanr  # noqa: E402
from sharing_page import page  # noqa: E402

from autokd.contracts import Models  # noqa: E402
from autokd.core.seeds import Seeds  # noqa: E402
from autokd.engine.precision import set_threads  # noqa: E402
from autokd.engine.teacher import LiveTeacher  # noqa: E402
from autokd.methods.basics.held_out import HeldOut  # noqa: E402
from autokd.methods.basics.supernets import ATTENTION  # noqa: E402
from autokd.models.elastic import shape_of  # noqa: E402
from autokd.models.subspaces import subspace  # noqa: E402
from autokd.models.supernet import Supernet as Network  # noqa: E402
from autokd.models.supernet import supernet_of  # noqa: E402
from autokd.models.supernet_folder import load_supernet  # noqa: E402
from autokd.runner.ahead import Order, Ready, prepare, seconds_per_step  # noqa: E402

SPACE = "small"
ALONE = 16  # sub-networks trained by themselves
ROWS = (64, 128, 256)  # held-out texts that a search may read
TIMED_STEPS = 40
SPLITS, RESAMPLES = 20, 400


def held_out(ready: Ready, rows: int, folder: Path) -> HeldOut:
    ctx = ready.context(folder, lambda step, score: None, lambda: False)
    term = ready.stage.loss.build(Models({"teacher": ready.teacher}), ctx)
    return HeldOut(ready.held_out, rows, term, LiveTeacher(ready.teacher, ctx, ATTENTION), ctx)


def searched(supernet: Network, ready: Ready, rows: int, folder: Path) -> tuple[np.ndarray, float]:
    """Losses of all sub-networks on each of so many held-out texts, and the seconds that all of it took."""
    began = time.monotonic()
    texts, architectures = held_out(ready, rows, folder), supernet.subspace.architectures()
    losses = np.stack([texts.losses(supernet.member(each)).numpy() for each in architectures])
    return losses, time.monotonic() - began


def quality(made: Supernet, order: Order, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What a search of one supernet finds and costs, beside a step of its training timed in the same process; and the
    losses of all sub-networks, [sub-networks, texts]."""
    ready = prepare(order)
    supernet = supernet_of(load_supernet(Path(made.folder), 1, Seeds(0))[0])
    searches = {rows: searched(supernet, ready, rows, folder) for rows in ROWS}
    step = seconds_per_step(ready, TIMED_STEPS)
    print(f"{Path(made.folder).name}: searched", flush=True)
    told = [
        {
            "rows": rows,
            "seconds": seconds,
            "share_of_training": seconds / (step * made.facts["steps"]),
            "split_half": split_halves(losses),
        }
        for rows, (losses, seconds) in searches.items()
    ]
    return {"supernet": dict(made.facts), "step_seconds": step, "searches": told}, searches[max(ROWS)][0]


def split_halves(losses: np.ndarray) -> dict[str, float]:
    """Rank correlation of all sub-networks' mean losses on one half of the texts and on the other, over splits."""
    draw, found = np.random.default_rng(0), []
    for _ in range(SPLITS):
        halves = np.array_split(draw.permutation(losses.shape[1]), 2)
        found.append(float(spearmanr(*(losses[:, half].mean(1) for half in halves)).statistic))
    return {"mean": float(np.mean(found)), "least": min(found)}


def alone(order: Order, steps: int, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Sub-networks trained by themselves, and their losses, [sub-networks, texts]."""
    ready = prepare(order)
    shape = shape_of(ready.teacher)
    space = subspace(ready.stage.space, shape)
    length = float(ready.trained.extents.mean())
    macs = [each.shape(shape).macs(length) for each in space.architectures()]
    chosen = drawn(space, macs, ALONE, seed=0)
    began = time.monotonic()
    networks = trained_alone(chosen, ready, steps, folder)
    seconds = time.monotonic() - began
    print(f"{ALONE} networks: trained alone", flush=True)
    texts, places = held_out(ready, max(ROWS), folder), [space.architectures().index(each) for each in chosen]
    told = {
        "architectures": [asdict(each) for each in chosen],
        "places": places,
        "macs": [macs[place] for place in places],
        "seconds": seconds,
    }
    return told, np.stack([texts.losses(network).numpy() for network in networks])


def compared(shared: np.ndarray, own: np.ndarray, macs: Sequence[float]) -> dict[str, Any]:
    """How a supernet's losses rank and exceed those of the same networks alone; both [sub-networks, texts]."""
    draw, taus, ratios = np.random.default_rng(0), [], []
    for _ in range(RESAMPLES):
        networks, texts = (draw.integers(size, size=size) for size in own.shape)
        one, other = (losses[networks][:, texts].mean(1) for losses in (shared, own))
        taus.append(kendalltau(one, other).statistic)
        ratios.append(float((one / other).mean()))
    one, other = shared.mean(1), own.mean(1)
    return {
        "kendall": [float(kendalltau(one, other).statistic), *np.quantile(taus, (0.025, 0.975)).tolist()],
        "kendall_size": float(kendalltau([-each for each in macs], other).statistic),
        "ratio": [float((one / other).mean()), *np.quantile(ratios, (0.025, 0.975)).tolist()],
        "shared": one.round(5).tolist(),
        "alone": other.round(5).tolist(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: as many steps as its table has")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="supernets at once")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of supernets, kept (default: a temporary one)")
    options = parser.parse_args(arguments)
    set_threads(1)
    plan = CPU if options.device == "cpu" else GPU
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        orders = {kind: ordered(kind, SPACE, plan.ahead, work, options.device) for kind in KINDS}
        made = dict(zip(orders, supernets(orders.values(), options.processes), strict=True))
        told, own = alone(orders["plain"], plan.ahead.steps[SPACE], work / "alone")
        found: dict[str, Any] = {"alone": told}
        for kind, order in orders.items():
            found[kind], losses = quality(made[kind], order, work / "search")
            found[kind]["against_alone"] = compared(losses[told["places"]], own, told["macs"])
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "sharing.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / "sharing.md").write_text(page(found))
    print(f"wrote {options.output / 'sharing.md'}")


if __name__ == "__main__":
    main()
