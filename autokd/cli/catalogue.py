"""What there is to choose from: ``methods``, and ``check`` for a space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autokd.cli import options
from autokd.cli.completion import space_items
from autokd.cli.output import print_json, print_table
from autokd.core.canonical import Json
from autokd.core.settings import DataSource
from autokd.report.marks import short
from autokd.report.pipelines import one_line, varying

if TYPE_CHECKING:
    from autokd.survey import Example


@click.command(
    short_help="List the methods that pipelines may use.",
    epilog=options.examples("autokd methods", "autokd methods --methods my_methods.py --json"),
)
@options.method_files
@options.as_json
def methods(method_files: tuple[str, ...], as_json: bool) -> None:
    """List every method that a pipeline or a space may use, with its fields and its paper."""
    from autokd.build import describe_methods
    from autokd.core.address import load_files

    load_files(Path(file) for file in method_files)
    found = describe_methods()
    if as_json:
        return print_json(found)
    rows = [[each["kind"], each["use"], each["source"] or "-", _fields(each["fields"])] for each in found]
    print_table(["kind", "use", "arXiv", "fields"], rows)


@click.command(
    short_help="Check a search space.",
    epilog=options.examples("autokd check basics", "autokd check my_space.yaml --dataset mine.csv"),
)
@click.argument("space", shell_complete=space_items)
@click.option(
    "--dataset", metavar="NAME", help="Judge the space for this data set. [default: 10,000 texts of 64 tokens]"
)
@options.data_dir
@click.option("--teacher", default="auto", show_default=True, help="What `auto` in the space stands for.")
@options.method_files
@options.as_json
def check(
    space: str,
    dataset: str | None,
    data_dir: str | None,
    teacher: str,
    method_files: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check a space: a name such as `basics`, or a YAML file."""
    from autokd.core.address import load_files
    from autokd.survey import survey

    load_files(Path(file) for file in method_files)
    found = survey(space, None if dataset is None else DataSource(dataset, data_dir), teacher)
    if as_json:
        return print_json(found.to_json())
    size = (
        "more pipelines than can be counted (it has ranges of real numbers)"
        if found.size is None
        else f"{found.size:,} pipelines"
    )
    click.echo(f"{found.name}: {found.n_parameters} parameters, {size}; for {found.judged_for}")
    click.echo(f"methods: {', '.join(found.uses)}")
    for masked in found.masked:
        click.echo(f"masked: {masked.parameter} = {masked.option}: {masked.reason}")
    if not found.masked:
        click.echo("masked: nothing")
    shown = varying([found.cheapest.pipeline, found.dearest.pipeline])
    for name, example in (("cheapest", found.cheapest), ("dearest", found.dearest)):
        click.echo(f"{name}: {short(example.training_macs)} MACs to train, {_student(example)}")
        click.echo(f"  {one_line(example.pipeline, shown)}")


def _student(example: Example) -> str:
    if example.macs is None or example.params is None:
        return "a student whose size is not known beforehand"
    return f"a student of {short(example.params)} parameters and {short(example.macs)} MACs"


def _fields(fields: Mapping[str, Any]) -> str:
    return ", ".join(name + _default(field) for name, field in fields.items()) or "-"


def _default(field: Mapping[str, Json]) -> str:
    return "" if field.get("required") else f"={_named(field['default'])}"


def _named(value: Json) -> str:
    """A default in a few letters: a method by its address."""
    if isinstance(value, Mapping) and "use" in value:
        return str(value["use"])
    return f"[{', '.join(map(_named, value))}]" if isinstance(value, list) else str(value)
