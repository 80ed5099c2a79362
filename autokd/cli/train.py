"""``train``: one pipeline on one data set, outside of any study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from autokd.cli import options
from autokd.cli.output import print_json, say
from autokd.cli.suggest import Choice
from autokd.core.disk import naming
from autokd.core.errors import SpecError, UsageError
from autokd.core.metric_file import metric_title
from autokd.report.marks import short


@click.command(
    short_help="Train one pipeline outside of any study.",
    epilog=options.examples("autokd train pipeline.json --dataset mine.csv --output my-student --teacher minilm"),
)
@click.argument("pipeline", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PIPELINE.json")
@options.data
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the checkpoint."
)
@click.option("--teacher", default="auto", show_default=True, help="What `auto` in the pipeline stands for.")
@click.option("--max-length", default=128, show_default=True, type=click.IntRange(min=8), help="Tokens per example.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads.")
@click.option("--device", default="cpu", show_default=True, type=Choice(["cpu", "gpu"]))
@options.method_files
@options.trust_remote_code
@options.as_json
def train(pipeline: Path, output: Path, method_files: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Train one pipeline, as reports and `studies show --json` print them."""
    from autokd.core.address import load_files
    from autokd.distiller import Distiller
    from autokd.tasks.load import load_task

    source, output = options.take_source(given), output.resolve()
    load_files(Path(file) for file in method_files)
    distiller = Distiller(read_pipeline(pipeline), method_files=method_files, **given)
    task = load_task(source, given["seed"])
    work = _work_folder(output)
    student = distiller.fit(task, work, report=lambda at: say(f"stage {at.stage + 1}, step {at.step}: {at.score:.4f}"))
    _put_in_place(student.checkpoint, output)
    shutil.rmtree(work)
    found = {
        "checkpoint": str(output),
        "metric": task.metric,
        "valid_score": student.valid_score,
        "test_score": student.test_score,
        "params": student.params,
        "macs": student.macs,
    }
    if as_json:
        return print_json(found)
    click.echo(f"test {metric_title(task.metric)} {student.test_score:.4f} (validation {student.valid_score:.4f})")
    click.echo(f"{short(student.params)} parameters, {short(student.macs)} MACs\n{found['checkpoint']}")


def _work_folder(output: Path) -> Path:
    """Where the student is trained, beside ``output``, which appears whole at the end or not at all.

    What an interrupted run left there is gone on with. Raises UsageError for an ``output`` that holds something.
    """
    if output.is_dir() and any(output.iterdir()):
        raise UsageError(f"the folder for a student must be new or empty, but {str(output)!r} holds files.")
    work = output.with_name(f".{output.name}.work")
    if (work / "trained.json").is_file() and not (work / "checkpoint").is_dir():
        shutil.rmtree(work)  # its student was put in place, and it was killed before it had tidied up
    return work


def _put_in_place(checkpoint: Path, output: Path) -> None:
    with naming(output):
        checkpoint.replace(output)


def read_pipeline(path: Path) -> dict[str, Any]:
    """The pipeline in a JSON file. Raises SpecError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError(
            f"a pipeline's file holds one JSON object, but {str(path)!r} cannot be read: {error}."
        ) from error
    if not isinstance(value, dict):
        raise SpecError(f"a pipeline's file holds one JSON object, but {str(path)!r} holds {type(value).__name__}.")
    return value
