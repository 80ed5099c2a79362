"""``evaluate``: a checkpoint's score on labelled data, whoever trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autokd.cli import options
from autokd.cli.output import print_json, say
from autokd.cli.suggest import Choice


@click.command(
    short_help="Score a checkpoint on labelled data.",
    epilog=options.examples(
        "autokd evaluate my-student --dataset mine.csv --label-column topic",
        "autokd evaluate my-student-int8 --dataset rte --split valid",
        "autokd evaluate my-student --dataset new.csv --split all --json",
    ),
)
@click.argument("checkpoint", type=click.Path(file_okay=False, path_type=Path))
@options.labelled_data
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=Choice(["train", "valid", "test", "all"]),
    help="Which rows; `all` takes every labelled one.",
)
@options.runtime
@options.max_length
@options.batch_size
@options.threads
@options.trust_remote_code
@click.option(
    "--seed", default=0, show_default=True, type=int, help="Decides the rows of splits that the data do not have."
)
@options.as_json
def evaluate(checkpoint: Path, split: str, batch_size: int | None, seed: int, as_json: bool, **given: Any) -> None:
    """Score a checkpoint (a folder of the form hf, onnx or onnx-int8) on labelled data.

    Prints the score with a 95 % interval over examples. Classes are matched by their names.
    """
    from autokd.core.metric_file import metric_title
    from autokd.deploy.folders import kind_of
    from autokd.deploy.scoring import evaluate as score
    from autokd.deploy.scoring import open_model
    from autokd.study.machine import cores
    from autokd.tasks.load import load_task

    source = options.take_source(given)
    form = kind_of(checkpoint)
    task = load_task(source, seed)
    model = open_model(checkpoint, given.pop("runtime"), threads=given.pop("threads") or cores(), **given)
    found = score(model, task, split, batch_size=batch_size)
    for note in (*(task.notes if split != "all" else ()), *found.notes):
        say(f"note: {note}")
    if as_json:
        return print_json(
            {
                "checkpoint": str(checkpoint.resolve()),
                "form": form,
                "runtime": model.runtime.name,
                "dataset": source.name,
                "split": split,
                "n_rows": found.n_rows,
                "metric": found.metric,
                "score": found.score,
                "low": found.low,
                "high": found.high,
                "others": dict(found.others),
            }
        )
    metric = metric_title(found.metric)
    click.echo(f"{metric} {found.score:.4f}  (95 % interval {found.low:.4f} to {found.high:.4f})")
    click.echo(f"{task.name}, {split}: {found.n_rows:,} rows; {checkpoint} ({form}) in {model.runtime.name}")
    if found.others:
        click.echo("also: " + ", ".join(f"{name} {value:.4f}" for name, value in found.others.items()))
