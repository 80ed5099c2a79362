"""Speed: all arms side by side, one at a time, in interleaved rounds."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crew import HERE, Crew, environment
from ideal import SHAPES, training_flops
from plan import ARMS, BATCH, Cell, Plan

Say = Callable[[str], None]
CHECK_STEPS = 4
FILLERS = ("autokd float32", "autokd bf16")
# How far a loss may be from the reference's, as a share of it.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def speed(plan: Plan, work: Path, say: Say) -> dict[str, Any]:
    """Measures every cell; the processes live through all of them."""
    caches = {name: _fill(plan, work, name) for name in FILLERS}
    arms = [arm for arm in ARMS if arm.system != "textbrewer" or find_spec("textbrewer") is not None]
    if len(arms) < len(ARMS):
        say("textbrewer is not installed: its arm is left out")
    crews = [Crew(arm, work) for arm in arms]
    try:
        for crew in crews:
            crew.ready()
        cells = []
        for number, cell in enumerate(plan.cells):
            here = [crew for crew in crews if number == 0 or crew.arm.everywhere]
            cells.append(_measure(cell, here, plan.rounds, say))
    finally:
        for crew in crews:
            crew.close()
    return {"teacher_cache_seconds": caches, "cells": cells}


def _fill(plan: Plan, work: Path, name: str) -> dict[str, float]:
    """Fills the teacher cache that an autokd arm reads; seconds per task."""
    wanted = [f"{task}:{','.join(map(str, depths))}" for task, depths in plan.depths.items()]
    command = [sys.executable, str(HERE / "fill.py"), str(work), name, *wanted]
    with (work / "fill.log").open("a") as log:
        done = subprocess.run(command, check=True, env=environment(2), stdout=subprocess.PIPE, stderr=log, text=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return seconds


def _measure(cell: Cell, crews: Sequence[Crew], rounds: int, say: Say) -> dict[str, Any]:
    say(f"{cell.task}, {cell.layers} layers: loading, and checking that all arms start with the same losses")
    lengths = _load(cell, crews)
    check = check_losses(crews)
    runs: dict[str, list[dict[str, Any]]] = {crew.arm.name: [] for crew in crews}
    products: dict[str, list[float]] = {crew.arm.name: [] for crew in crews if crew.arm.system == "autokd"}
    matmul: dict[str, list[list[float]]] = {"float32": [], "bfloat16": []}
    flops: list[float] = []
    for turn in range(rounds):
        rows = random.Random(f"{cell.task}:{turn}").sample(range(len(lengths)), cell.rows)
        flops.append(training_flops(cell.layers, [lengths[i] for i in rows]) / len(rows))
        for name, rate in _matmul_rates(crews).items():
            matmul[name].append(rate)
        for crew in crews if turn % 2 == 0 else crews[::-1]:
            run = _one_run(crew, rows, turn)
            runs[crew.arm.name].append(run)
            if crew.arm.name in products:
                products[crew.arm.name].append(_products_rate(crew, cell.layers, [lengths[i] for i in rows]))
            say(f"{cell.task}, {cell.layers} layers, round {turn + 1}: {crew.arm.name} {run['rate']:.1f} samples/s")
    # medians over the rounds, shape by shape
    rates = {name: [statistics.median(turns) for turns in zip(*told, strict=True)] for name, told in matmul.items()}
    arms = {crew.arm.name: _told(runs[crew.arm.name], flops, max(rates[crew.arm.precision])) for crew in crews}
    for name, found in products.items():
        arms[name]["products_rate"] = statistics.median(found)
    length = sum(lengths) / len(lengths)
    return {**asdict(cell), "mean_length": length, "matmul_flops": rates, "check": check, "arms": arms}


def _told(runs: Sequence[dict[str, Any]], flops: Sequence[float], matmul: float) -> dict[str, Any]:
    return {
        "rate": statistics.median(run["rate"] for run in runs),
        "share": statistics.median(run["rate"] * flop / matmul for run, flop in zip(runs, flops, strict=True)),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "beyond_s": statistics.median(run["beyond_s"] for run in runs),
        "runs": list(runs),
    }


def _load(cell: Cell, crews: Sequence[Crew]) -> list[int]:
    """Has every arm load the cell; returns the rows' lengths. SystemExit where two arms read different tokens."""
    for crew in crews:
        crew.tell({"load": {"task": cell.task, "layers": cell.layers}})
    told = {crew.arm.name: crew.hear() for crew in crews}
    lengths: list[int] = told[crews[0].arm.name][0]["lengths"]
    for name, replies in told.items():
        if any(reply["lengths"] != lengths for reply in replies):
            raise SystemExit(f"{name} reads other tokens than {crews[0].arm.name}: the arms cannot be compared")
    return lengths


def _matmul_rates(crews: Sequence[Crew]) -> dict[str, list[float]]:
    """The machine's rates in each precision, FLOP/s per shape: the best of any arm's processes together."""
    best = {"float32": [0.0] * len(SHAPES), "bfloat16": [0.0] * len(SHAPES)}
    kinds = {(crew.arm.system, crew.arm.precision, crew.arm.processes): crew for crew in reversed(crews)}
    for crew in kinds.values():
        told = [reply["flops"] for reply in crew.ask({"matmul": crew.arm.precision})]
        together = [sum(rates) for rates in zip(*told, strict=True)]
        best[crew.arm.precision] = list(map(max, best[crew.arm.precision], together))
    return best


def _products_rate(crew: Crew, layers: int, lengths: Sequence[int]) -> float:
    """Samples per second of an arm's processes together that make nothing but a step's matrix products."""
    sizes = {"layers": layers, "lengths": list(lengths), "batch": crew.arm.batch, "precision": crew.arm.precision}
    return sum(reply["rate"] for reply in crew.ask({"products": sizes}))


def _one_run(crew: Crew, rows: Sequence[int], seed: int) -> dict[str, Any]:
    """One repetition: samples per second from the first batch asked for to the end of the last step."""
    replies = crew.ask({"train": {"rows": rows, "epochs": 1, "seed": seed, "dropout": crew.arm.dropout}})
    steps = -(-len(rows) // crew.arm.batch)
    for reply in replies:
        if len(reply["stamps"]) != steps:
            raise SystemExit(f"{crew.arm.name} made {len(reply['stamps'])} steps, not {steps}")
    began = min(reply["began"] for reply in replies)
    ended = max(reply["stamps"][-1] for reply in replies)
    beyond = [reply["wall"] - (reply["stamps"][-1] - reply["began"]) for reply in replies]
    return {
        "rate": len(rows) * len(replies) / (ended - began),
        "peak_mb": sum(reply["peak_mb"] for reply in replies),
        "beyond_s": max(beyond),  # of the call's time, what lies outside the steps: building, restoring
    }


def check_losses(crews: Sequence[Crew]) -> dict[str, list[float]]:
    """The same rows, weights and steps without dropout must give the same losses in every arm. Warms them up, too.

    SystemExit where a loss is not the first arm's, up to its precision.
    """
    rows = list(range(BATCH))
    request = {"rows": rows, "epochs": CHECK_STEPS, "seed": 0, "dropout": 0.0, "warmup": 0.0, "losses": True}
    found: dict[str, list[float]] = {crew.arm.name: crew.ask({"train": request})[0]["losses"] for crew in crews}
    reference = found[crews[0].arm.name]
    for crew in crews:
        got, steps = found[crew.arm.name], 1 if crew.arm.freeze_embeddings else CHECK_STEPS
        for step in range(steps):
            if abs(got[step] - reference[step]) > TOLERANCE[crew.arm.precision] * reference[step]:
                raise SystemExit(f"step {step + 1} of {crew.arm.name}: loss {got[step]}, not {reference[step]}")
    return found
