"""``studies delete``, ``studies export`` and ``studies import``: studies as a whole."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from autokd.cli import options
from autokd.cli.output import counted, print_json, say
from autokd.core.errors import UsageError
from autokd.report.quantities import size


@click.command(epilog=options.examples("autokd studies delete mine-20260101-1", "autokd studies delete old --yes"))
@options.study
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.storage
@options.artifacts
@options.as_json
def delete(study: str, yes: bool, storage: str, artifacts: str | None, as_json: bool) -> None:
    """Delete a study: its records and its files. There is no way back; `studies export` keeps a copy."""
    from autokd.study.delete import delete_study, stock

    found = stock(storage, study, artifacts)
    told = f"{study}: {counted(found.n_trials, 'trial')}, {size(found.size_bytes)} in {found.folder}"
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"deleting asks first, but there is no terminal to ask on; say --yes. ({told})")
        say(told)
        click.confirm("Delete it?", abort=True, err=True)
    delete_study(storage, study, artifacts)
    if as_json:
        return print_json({"study": study, "n_trials": found.n_trials, "size_bytes": found.size_bytes})
    click.echo(f"deleted {told}")


@click.command("export", epilog=options.examples("autokd studies export mine-20260101-1 --output mine.zip"))
@options.study
@click.option(
    "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="A new file."
)
@click.option("--allow-missing", is_flag=True, help="Go on without checkpoints that are gone from disk.")
@options.storage
@options.artifacts
@options.as_json
def export_one(
    study: str, output: Path, allow_missing: bool, storage: str, artifacts: str | None, as_json: bool
) -> None:
    """Write a whole study into one portable file.

    It holds every trial's record, the checkpoints of the frontier, predictions, the data set as the study saw it, and
    the teachers: mind whom you give it to. Text and safetensors only, no pickles.
    """
    from autokd.study.archive import export_study

    found = export_study(storage, study, output, artifacts, allow_missing=allow_missing)
    for note in found.notes:
        say(f"note: {note}")
    if as_json:
        return print_json(found.to_json())
    told = f"{counted(found.n_trials, 'trial')}, {counted(found.n_checkpoints, 'checkpoint')}"
    click.echo(f"{output}  {size(found.size_bytes)}: {study}, {told}")


@click.command(
    "import",
    epilog=options.examples(
        "autokd studies import mine.zip", "autokd studies import mine.zip --as mine-from-the-cluster"
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "name", metavar="NAME", help="The study's name here. [default: the one it had]")
@options.method_files
@options.storage
@options.artifacts
@options.as_json
def import_one(
    file: Path, name: str | None, method_files: tuple[str, ...], storage: str, artifacts: str | None, as_json: bool
) -> None:
    """Bring a study in from a file that `studies export` wrote.

    Each file in it is checked against its size and hash first. No code is taken from it; where its study used methods
    of its author's own, name your copies with --methods.
    """
    from autokd.study.archive import import_study

    found = import_study(storage, file, name, artifacts, method_files)
    for note in found.notes:
        say(f"note: {note}")
    if as_json:
        return print_json(found.to_json())
    click.echo(f"{found.study}: {counted(found.n_trials, 'trial')}, {counted(found.n_checkpoints, 'checkpoint')}")
    click.echo(f"look at it with: autokd studies show {found.study}{options.where(storage, artifacts)}")
