"""``supernet``: one made ahead, for all studies of one teacher."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from autokd.cli import options
from autokd.cli.output import print_json, say
from autokd.cli.suggest import Choice
from autokd.core.budget import Budget
from autokd.core.errors import UsageError
from autokd.report.marks import short

_STAGES = {"plain": "autodistil:TrainSupernet", "mixture": "mixture_of_supernets:TrainSupernet"}


@click.command(
    short_help="Train a supernet ahead of studies.",
    epilog=options.examples(
        "autokd supernet --teacher minilm --subspace small --corpus books.txt.gz --budget 2gpu-h --output small-net"
    ),
)
@click.option("--teacher", default="auto", show_default=True, help="The pretrained encoder that it is cut from.")
@click.option("--subspace", default="small", show_default=True, metavar="NAME", help="base, small, tiny, wide, ...")
@click.option(
    "--corpus",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Texts of any kind, one a line, plain or .gz.",
)
@click.option("--budget", required=True, metavar="TIME", help="What it may take: 2gpu-h, 40cpu-min, 15min.")
@click.option(
    "--output",
    default="supernet",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="A new folder, which a space names.",
)
@click.option(
    "--sharing", type=Choice(list(_STAGES)), default="plain", show_default=True, help="How weights are shared."
)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate. [default: the method's]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Texts of a step. [default: the method's]")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Passes over the texts at most.")
@click.option("--max-length", default=128, show_default=True, type=click.IntRange(min=8), help="Tokens per text.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all cores]")
@options.trust_remote_code
@options.as_json
def supernet(
    teacher: str,
    subspace: str,
    corpus: Path,
    budget: str,
    output: Path,
    sharing: str,
    lr: float | None,
    batch_size: int | None,
    epochs: float | None,
    max_length: int,
    seed: int,
    threads: int | None,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Train a supernet, of which searches then take students of every size without training.

    The text need not be of any task: the teacher is not tuned, and no label is looked at. A space names the folder:
    {use: autodistil:LoadSupernet, supernet: DIR}. Interrupted, the same command goes on.
    """
    from autokd.engine.precision import best_precision
    from autokd.models.assets import find_model
    from autokd.models.bases import readable_length
    from autokd.models.remote import trusting
    from autokd.runner.ahead import Order, make_supernet
    from autokd.runner.workspace import job_device
    from autokd.study.seats import find_seats

    asked = Budget.parse(budget)
    seats = find_seats(asked, 1 if asked.device == "gpu" else threads)
    n_threads = seats.workers if seats.device == "cpu" else threads or 1
    with trusting(trust_remote_code):
        asset = find_model(teacher)
        if asset.note:
            say(asset.note)
        stage: dict[str, Any] = {"use": _STAGES[sharing], "space": subspace}
        if lr is not None:
            stage["optimizer"] = {"use": "basics:AdamW", "lr": lr}
        if batch_size is not None:
            stage["batch_size"] = batch_size
        order = Order(
            stage=stage,
            teacher=str(asset.folder),
            corpus=str(corpus),
            output=str(output),
            seconds=_wall_seconds(asked, n_threads if seats.device == "cpu" else 1),
            max_length=readable_length([asset.folder], max_length),
            seed=seed,
            precision=best_precision(job_device(seats.device)),
            device=seats.device,
            threads=n_threads,
            epochs=math.inf if epochs is None else epochs,
        )
        made = make_supernet(order, lambda step, of, loss: say(f"step {step} of {of}: held-out loss {loss:.4f}"))
    if as_json:
        return print_json(asdict(made))
    smallest, largest = (short(n) for n in made.params)
    click.echo(f"{made.n_subnets} sub-networks of {smallest} to {largest} parameters, held-out loss {made.loss:.4f}")
    click.echo(made.folder)


def _wall_seconds(budget: Budget, devices: int) -> float:
    """What a budget leaves of wall time where so many devices work. Raises UsageError for one of trials."""
    if budget.limit("trials") is not None:
        raise UsageError(f"a supernet's budget is one of time, but got {budget.text!r}.")
    named = [(budget.limit("wall"), 1), (budget.limit("gpu"), devices), (budget.limit("cpu"), devices)]
    return min((amount / by for amount, by in named if amount is not None), default=math.inf)
