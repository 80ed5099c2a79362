"""``search`` and ``resume``: the commands that spend a budget."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from autokd.cli import options
from autokd.cli.completion import space_items
from autokd.cli.output import print_front, print_json, say
from autokd.core.disk import refusal
from autokd.core.errors import UsageError
from autokd.core.latency import DEFAULT_LATENCY
from autokd.core.metric_file import metric_title
from autokd.report.about import budget_line
from autokd.report.page import default_path, write
from autokd.report.summary import summary
from autokd.store.files import DEFAULT_STORAGE, redacted

if TYPE_CHECKING:
    from autokd.core.settings import DataSource, StudySettings
    from autokd.study.result import Study

_verbose = click.option("-v", "--verbose", is_flag=True, help="Also show each event.")
_quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")


@click.command(
    short_help="Search for the best small models within a budget.",
    epilog=options.examples(
        "autokd search --dataset pydocs --budget 10cpu-min",
        "autokd search --dataset mine.csv --label-column topic --budget 8gpu-h --dry-run",
        "autokd search --dataset rte --budget 2h --objectives score,latency --constraint 'params<=15e6'",
    ),
)
@options.data
@click.option("--budget", required=True, help="What may be spent: 8gpu-h, 40cpu-min, 15min, 200trials, or several.")
@click.option(
    "--teacher",
    multiple=True,
    default=("auto",),
    show_default="auto",
    help="Hub id, folder, minilm, or auto; repeatable: the search then chooses.",
)
@click.option(
    "--space",
    default="auto",
    show_default="auto: full, graph for a graph",
    shell_complete=space_items,
    help="A space that ships with autokd, or a YAML file.",
)
@click.option(
    "--objectives", default="score,macs", show_default=True, help="score with any of macs, params, latency, size_bytes."
)
@click.option(
    "--constraint", "constraints", multiple=True, help='Such as "params<=15e6" or "latency<=5" (ms); repeatable.'
)
@click.option(
    "--latency",
    default="",
    metavar="SPEC",
    help=f"How latency is measured; length is p50, p95, max or a number of tokens. [default: {DEFAULT_LATENCY}]",
)
@click.option("--max-length", default=128, show_default=True, type=click.IntRange(min=8), help="Tokens per example.")
@options.storage
@options.artifacts
@click.option("--study", help="The study's name. [default: data set and date]")
@options.address
@options.workers
@options.gpus_per_trial
@options.runner
@click.option("--seed", default=0, show_default=True, type=int)
@options.method_files
@options.trust_remote_code
@click.option("--cover", is_flag=True, help="Begin with pipelines that together use every method of the space.")
@click.option("--dry-run", is_flag=True, help="Only say what the search would do and take; write nothing.")
@options.as_json
@_verbose
@_quiet
def search(objectives: str, method_files: tuple[str, ...], runner: str | None, **given: Any) -> None:
    """Search for the best small models for a data set, within a budget.

    Ends with the frontier of score and cost: students that were trained again with further seeds, reloaded from disk
    and scored on the test split, beside the teacher and two controls.
    """
    shown, dry_run = _take_display(given), given.pop("dry_run")
    given["objectives"] = tuple(name.strip() for name in objectives.split(","))
    given |= {"methods": method_files, "runner": runner or "ray", "command": command_line(sys.argv)}
    source = options.take_source(given)
    if dry_run:
        return _plan(source, given, as_json=shown["as_json"])
    from autokd.cli.display import Display
    from autokd.study.study import search as run

    with Display(shown["verbosity"]) as display:
        study = run(
            source,
            given.pop("budget"),
            on_start=lambda settings: _announce(settings, shown["verbosity"]),
            on_event=display,
            **given,
        )
    _finish(study, given["storage"], as_json=shown["as_json"])


@click.command(
    short_help="Go on with a study where it stopped.",
    epilog=options.examples("autokd resume mine-20260101-1", "autokd resume mine-20260101-1 --budget 16gpu-h"),
)
@options.study
@options.storage
@options.artifacts
@click.option("--budget", help="A new total, such as 16gpu-h. [default: what is left of the old one]")
@options.address
@options.workers
@options.runner
@options.as_json
@_verbose
@_quiet
def resume(study: str, **given: Any) -> None:
    """Go on with a study where it stopped, however it stopped."""
    shown = _take_display(given)
    from autokd.cli.display import Display
    from autokd.study.study import resume as run

    with Display(shown["verbosity"]) as display:
        found = run(study, on_event=display, **given)
    _finish(found, given["storage"], as_json=shown["as_json"])


def _plan(source: DataSource, given: dict[str, Any], *, as_json: bool) -> None:
    """Print what a search would do."""
    from autokd.cli.planning import print_plan
    from autokd.study.dry_run import plan
    from autokd.study.prepare import Request

    found = plan(Request(source, **given))
    return print_json(found.to_json()) if as_json else print_plan(found)


def command_line(words: list[str]) -> str:
    """What was typed but for passwords, so that a report can say how to repeat it."""
    return shlex.join(["autokd", *map(redacted, words[1:])])


def _take_display(given: dict[str, Any]) -> dict[str, Any]:
    """What decides the output, taken out of a command's options."""
    verbose, quiet = given.pop("verbose"), given.pop("quiet")
    if verbose and quiet:
        raise UsageError("one of -v and -q may be given, but got both.")
    return {"verbosity": -1 if quiet else int(verbose), "as_json": given.pop("as_json")}


def _announce(settings: StudySettings, verbosity: int) -> None:
    if verbosity >= 0:
        devices = f"{settings.workers} worker{'s' if settings.workers > 1 else ''} on {settings.device}"
        task = f"{settings.task_name} ({metric_title(settings.metric)})"
        say(f"study {settings.study}: {task}, teacher {', '.join(settings.teachers)}")
        how = f"{settings.precision}, {settings.runner}"
        say(f"space {settings.space_name}, budget {settings.budget}, {devices}, {how}")


def _report(study: Study) -> str:
    """Where the report was written. A result of hours is not withheld because there is no room for a page on it."""
    try:
        return str(write(study, default_path(study.settings.study)))
    except OSError as error:
        say(f"The report could not be written ({refusal(error)}); later: autokd report {study.settings.study}")
        return ""


def _finish(study: Study, storage: str, *, as_json: bool) -> None:
    """Write the report and print the result; exit with 1 where the study stopped before it had one."""
    report = _report(study)
    if not study.finished:
        where = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(study.storage or redacted(storage))}"
        where += f" --artifacts {shlex.quote(study.artifacts)}" if study.artifacts else ""
        say(f"Stopped. Nothing is lost; go on with: autokd resume {shlex.quote(study.settings.study)}{where}")
        say(f"What there is so far: {report}")
        raise click.exceptions.Exit(1)
    for note in study.notes:
        say(f"note: {note}")
    if as_json:
        return print_json(summary(study, report))
    click.echo(f"{study.settings.study}: {study.settings.task_name}, budget {budget_line(study)}\n")
    print_front(study)
    click.echo(f"\nreport {report}")
