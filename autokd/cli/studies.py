"""Looking at studies: ``studies`` (list, show, and whole ones: delete, export, import) and ``report``. No torch."""

from __future__ import annotations

from pathlib import Path

import click

from autokd.cli import options
from autokd.cli.archive import delete, export_one, import_one
from autokd.cli.output import print_front, print_json, print_table, say, seconds
from autokd.core.metric_file import metric_title
from autokd.store.files import redacted


@click.group(
    short_help="List, show, delete, export and import studies.",
    invoke_without_command=True,
    epilog=options.examples(
        "autokd studies",
        "autokd studies show mine-20260101-1",
        "autokd studies --storage journal:////shared/team.journal list --json",
    ),
)
@options.storage
@options.as_json
@click.pass_context
def studies(context: click.Context, storage: str, as_json: bool) -> None:
    """List the studies of a storage, show one, or delete, export and import whole ones."""
    # What is given before the command's name holds for the command, unless it is given there again.
    given = {"storage": storage, "as_json": as_json}
    context.default_map = {name: given for name in studies.commands}
    if context.invoked_subcommand is None:
        context.invoke(list_studies, storage=storage, as_json=as_json)


@studies.command("list", epilog=options.examples("autokd studies list --json"))
@options.storage
@options.as_json
def list_studies(storage: str, as_json: bool) -> None:
    """The studies of a storage, oldest first."""
    from autokd.store.summaries import list_studies as found_in

    found = found_in(storage)
    if as_json:
        return print_json([summary.to_json() for summary in found])
    if not found:
        return say(
            f"No studies in {redacted(storage)} yet. Start one: autokd search --dataset pydocs --budget 10cpu-min"
        )
    rows = [
        [each.study, each.task_name, each.space, each.budget, _counted(each.states), each.created[:16]]
        for each in found
    ]
    print_table(["study", "data set", "space", "budget", "trials", "created (UTC)"], rows)


@studies.command(epilog=options.examples("autokd studies show mine-20260101-1 --json"))
@options.study
@options.storage
@options.artifacts
@options.as_json
def show(study: str, storage: str, artifacts: str | None, as_json: bool) -> None:
    """One study: its frontier, and every trial."""
    from autokd.report.about import budget_line
    from autokd.report.facts import trial_rows
    from autokd.report.summary import summary
    from autokd.study.result import read_result

    result = read_result(storage, study, artifacts)
    if as_json:
        trials = [record.to_json() for record in result.records]
        return print_json({**summary(result), "trials": trials})
    metric = metric_title(result.settings.metric)
    click.echo(f"{study}: {result.settings.task_name}, {metric}; budget {budget_line(result)}\n")
    if result.front:
        print_front(result)
        click.echo()
    rows = []
    for row in trial_rows(result):
        score = row.value("valid_score")
        shown = "" if score is None else f"{score:.4f}"
        told = row.pipeline + (f"  [{row.record.error}]" if row.record.error else "")
        rows.append(
            [str(row.record.number), row.record.state, row.why, shown, seconds(row.record.device_seconds), told]
        )
    print_table(["trial", "state", "why", "valid", "device time", "pipeline"], rows)


for whole in (delete, export_one, import_one):
    studies.add_command(whole)


@click.command(
    short_help="Write a study as one HTML file.",
    epilog=options.examples("autokd report mine-20260101-1", "autokd report mine-20260101-1 --output mine.html"),
)
@options.study
@options.storage
@options.artifacts
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. [default: reports/STUDY.html]",
)
def report(study: str, storage: str, artifacts: str | None, output: Path | None) -> None:
    """Write a study's report: one HTML file that needs no network."""
    from autokd.report.page import default_path, write
    from autokd.study.result import read_result

    click.echo(str(write(read_result(storage, study, artifacts), output or default_path(study))))


def _counted(states: object) -> str:
    assert isinstance(states, dict)
    return ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
