"""``evaluate``: a checkpoint's score on labelled data, whoever trained it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autokd.cli import options
from autokd.cli.output import counted, print_json, say
from autokd.cli.suggest import Choice

if TYPE_CHECKING:
    from autokd.core.task import Problem


@click.command(
    short_help="Score a checkpoint on labelled data.",
    epilog=options.examples(
        "autokd evaluate my-student --dataset new.csv --label-column topic",
        "autokd evaluate my-student-int8 --dataset rte --split valid",
        "autokd evaluate my-student --dataset FOLDER --split all --json",
    ),
)
@click.argument("checkpoint", type=click.Path(file_okay=False, path_type=Path))
@options.labelled_data
@click.option(
    "--split",
    type=Choice(["train", "valid", "test", "all"]),
    help="Which rows. [default: all of a file, test of several splits]",
)
@options.runtime
@options.max_length
@options.batch_size
@options.threads
@options.trust_remote_code
@click.option("--seed", type=int, help="Carves splits that the data lack. [default: that of the checkpoint's study]")
@options.as_json
def evaluate(
    checkpoint: Path, split: str | None, batch_size: int | None, seed: int | None, as_json: bool, **given: Any
) -> None:
    """Score a checkpoint (a folder of the form hf, onnx or onnx-int8) on labelled data.

    Prints the score with a 95 % interval over examples. A file is scored whole, of several splits the test, and of the
    data that a student was trained from what its study held out. Classes are matched by their names.
    """
    from autokd.core.metric_file import metric_title
    from autokd.deploy.folders import kind_of, labels_of, trained_from
    from autokd.deploy.scoring import evaluate as score
    from autokd.deploy.scoring import open_model
    from autokd.study.machine import cores
    from autokd.tasks.scored import rows_to_score

    source = options.take_source(given)
    form = kind_of(checkpoint)
    problem: Problem = "classification" if labels_of(checkpoint) else "regression"
    rows = rows_to_score(source, problem, split, seed, trained_from(checkpoint))
    model = open_model(checkpoint, given.pop("runtime"), threads=given.pop("threads") or cores(), **given)
    found = score(model, rows, batch_size=batch_size)
    notes = (*rows.notes, *found.notes)
    for note in notes:
        say(f"note: {note}")
    if as_json:
        return print_json(
            {
                "checkpoint": str(checkpoint.resolve()),
                "form": form,
                "runtime": model.runtime.name,
                "dataset": source.name,
                "split": rows.split,
                "seed": rows.seed,
                "n_rows": found.n_rows,
                "metric": found.metric,
                "score": found.score,
                "low": found.low,
                "high": found.high,
                "others": dict(found.others),
                "notes": list(notes),
            }
        )
    metric = metric_title(found.metric)
    click.echo(f"{metric} {found.score:.4f}  (95 % interval {found.low:.4f} to {found.high:.4f})")
    which = "all rows" if rows.split == "all" else rows.split
    click.echo(f"{rows.name}, {which}: {counted(found.n_rows, 'row')}; {checkpoint} ({form}) in {model.runtime.name}")
    if found.others:
        click.echo("also: " + ", ".join(f"{name} {value:.4f}" for name, value in found.others.items()))
