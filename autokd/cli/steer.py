"""``enqueue`` and ``budget``: what one may still tell a study that runs, or that will be resumed."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from autokd.cli import options
from autokd.cli.output import print_json
from autokd.cli.train import read_pipeline
from autokd.report.pipelines import one_line


@click.command(
    short_help="Have a study try a pipeline of yours next.",
    epilog=options.examples(
        "autokd enqueue mine-20260101-1 pipeline.json",
        "autokd studies show mine-20260101-1 --json    # prints the pipelines of a study",
    ),
)
@options.study
@click.argument("pipeline", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PIPELINE.json")
@options.storage
@options.artifacts
@options.as_json
def enqueue(study: str, pipeline: Path, storage: str, artifacts: str | None, as_json: bool) -> None:
    """Have a study try a pipeline of yours next: at once if it is running, else when it is resumed."""
    from autokd.study.enqueue import enqueue as put

    found = put(storage, study, read_pipeline(pipeline), artifacts)
    if as_json:
        params = None if found.params is None else dict(found.params)
        told = {"study": study, "file": str(found.file), "pipeline": dict(found.pipeline), "params": params}
        return print_json({**told, "running": found.running})
    when = "the study runs and takes it next" if found.running else f"go on with: {_resume(study, storage, artifacts)}"
    where = "a pipeline outside of its space" if found.params is None else "a pipeline of its space"
    click.echo(f"{study}: {where}; {when}\n  {one_line(found.pipeline)}")


@click.command(
    short_help="Show a study's budget, or add to it.",
    epilog=options.examples(
        "autokd budget mine-20260101-1",
        "autokd budget mine-20260101-1 --add 2gpu-h && autokd resume mine-20260101-1",
    ),
)
@options.study
@click.option(
    "--add", metavar="AMOUNT", help="What may be spent beyond it, in its own unit: 2gpu-h, 30cpu-min, 50trials."
)
@options.storage
@options.artifacts
@options.as_json
def budget(study: str, add: str | None, storage: str, artifacts: str | None, as_json: bool) -> None:
    """Show what a study may spend and has spent, or add to it; `autokd resume` then goes on."""
    from autokd.report.about import amounts, budget_line
    from autokd.study.result import read_result

    if add is not None:
        from autokd.study.add_budget import add_budget

        add_budget(storage, study, add, artifacts)
    found = read_result(storage, study, artifacts)
    if as_json:
        limits = [{"limit": each.limit, "spent": each.spent, "unit": each.unit} for each in amounts(found)]
        return print_json({"study": study, "budget": found.settings.budget, "limits": limits})
    click.echo(f"{study}: {budget_line(found)}")
    if add is not None:
        click.echo(f"go on with: {_resume(study, storage, artifacts)}")


def _resume(study: str, storage: str, artifacts: str | None) -> str:
    return f"autokd resume {shlex.quote(study)}{options.where(storage, artifacts)}"
