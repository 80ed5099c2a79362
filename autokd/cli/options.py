"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from autokd.core.settings import DataSource
from autokd.store.files import DEFAULT_STORAGE

Command = TypeVar("Command", bound=Callable[..., Any])

storage = click.option(
    "--storage",
    default=DEFAULT_STORAGE,
    show_default=True,
    metavar="URL",
    help="Where studies live: an SQLite URL, a PostgreSQL URL, or a journal file.",
)
artifacts = click.option(
    "--artifacts",
    type=click.Path(file_okay=False, resolve_path=True),
    metavar="DIR",
    help="Where checkpoints and caches go. [default: beside the storage's file; a server needs one]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
data_dir = click.option(
    "--data-dir",
    envvar="AUTOKD_DATA",
    metavar="DIR",
    help="A folder of data: GLUE's folders, or text/NAME. [env: AUTOKD_DATA]",
)
method_files = click.option(
    "--methods",
    "method_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    metavar="FILE",
    help="A Python file with methods of your own; repeatable.",
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Trials at a time. [default: what fits]")
runner = click.option("--runner", type=click.Choice(["ray", "pool"]), help="How trials are run. [default: ray]")
address = click.option("--address", metavar="HOST:PORT", help="A running Ray cluster. [default: one of its own]")
gpus_per_trial = click.option(
    "--gpus-per-trial",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SHARE",
    help="GPUs of each trial; below 1 they share one. [default: 1 with a GPU budget]",
)


def data(command: Command) -> Command:
    """The options that say what a data set is."""
    for option in (
        click.option("--label-column", metavar="NAME", help="Column of labels, if it is not called label."),
        click.option("--text-pair-column", metavar="NAME", help="Column of second texts, for pairs."),
        click.option("--text-column", metavar="NAME", help="Column of texts, if it has no usual name."),
        click.option("--metric", metavar="NAME", help="What to maximise. [default: the task's own]"),
        data_dir,
        click.option("--dataset", required=True, metavar="NAME", help="GLUE name, text folder, pydocs, csv or tsv."),
    ):
        command = option(command)
    return command


def take_source(given: dict[str, Any]) -> DataSource:
    """The data source among a command's options; what it took is removed from them."""
    names = ("data_dir", "text_column", "text_pair_column", "label_column", "metric")
    return DataSource(given.pop("dataset"), **{name: given.pop(name) for name in names})
