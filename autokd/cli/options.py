"""Options that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

from autokd.cli.completion import study_items
from autokd.cli.passwords import VARIABLE, with_password
from autokd.cli.suggest import Choice
from autokd.core.latency import RUNTIMES
from autokd.core.settings import DataSource
from autokd.store.files import DEFAULT_STORAGE, redacted

Command = TypeVar("Command", bound=Callable[..., Any])

storage = click.option(
    "--storage",
    envvar=VARIABLE,
    default=DEFAULT_STORAGE,
    callback=lambda context, option, url: with_password(url),
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
study = click.argument("study", shell_complete=study_items)
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
runner = click.option("--runner", type=Choice(["ray", "pool"]), help="How trials are run. [default: ray]")
address = click.option("--address", metavar="HOST:PORT", help="A running Ray cluster. [default: one of its own]")
gpus_per_trial = click.option(
    "--gpus-per-trial",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SHARE",
    help="GPUs of each trial; below 1 they share one. [default: 1 with a GPU budget]",
)

max_length = click.option(
    "--max-length", type=click.IntRange(min=8), help="Tokens per example. [default: those it was trained on]"
)
runtime = click.option(
    "--runtime",
    type=Choice(RUNTIMES),
    help="What runs it. [default: onnx or onnx-int8 for such a folder, else torch]",
)
threads = click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all cores]")
batch_size = click.option(
    "--batch-size", type=click.IntRange(min=1), help="Texts at a time. [default: 64; 1 for int8, as in records]"
)
trust_remote_code = click.option(
    "--trust-remote-code", is_flag=True, help="Run code that a model brings along. Only for models that you trust."
)


def examples(*lines: str) -> str:
    """The end of a help text: commands as one types them."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def data(command: Command) -> Command:
    """The options that say what a data set to learn from is."""
    unlabelled = click.option("--unlabelled", metavar="FILE", help="Further texts, which only the teacher labels.")
    return labelled_data(unlabelled(command))


def labelled_data(command: Command) -> Command:
    """The options that say what labelled data are."""
    for option in (
        click.option("--subset", metavar="NAME", help="Which configuration of a hub data set."),
        click.option("--label-column", metavar="NAME", help="Column of labels, if it is not called label."),
        click.option("--text-pair-column", metavar="NAME", help="Column of second texts, for pairs."),
        click.option("--text-column", metavar="NAME", help="Column of texts, if it has no usual name."),
        click.option(
            "--metric", metavar="NAME", help="What to maximise, or FILE.py:FUNCTION. [default: the task's own]"
        ),
        data_dir,
        click.option(
            "--dataset",
            required=True,
            metavar="NAME",
            help="A file (texts or a graph), folder, hub id, GLUE name, pydocs.",
        ),
    ):
        command = option(command)
    return command


def take_source(given: dict[str, Any]) -> DataSource:
    """The data source among a command's options; what it took is removed from them."""
    names = ("data_dir", "text_column", "text_pair_column", "label_column", "metric", "subset", "unlabelled")
    return DataSource(given.pop("dataset"), **{name: given.pop(name) for name in names if name in given})


def where(storage: str, artifacts: str | None = None) -> str:
    """The options that name a study's storage again, without passwords; nothing where they are the usual ones."""
    named = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(redacted(storage))}"
    return named + (f" --artifacts {shlex.quote(artifacts)}" if artifacts else "")
