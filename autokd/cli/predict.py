"""``predict``: labels for new texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from autokd.cli import options
from autokd.cli.output import counted, say
from autokd.cli.predicted import as_jsonl, as_separated
from autokd.cli.suggest import Choice
from autokd.cli.texts import FORMATS, read_texts
from autokd.core.disk import naming
from autokd.core.errors import UsageError

_BY_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}


@click.command(
    short_help="Predict labels for new texts.",
    epilog=options.examples(
        "autokd predict my-student --input reviews.csv --text-column review --output labels.csv",
        "autokd predict my-student-int8 --input texts.txt --output labels.jsonl",
        'echo "a warm and lovely film" | autokd predict my-student --input -',
    ),
)
@click.argument("checkpoint", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--input", "name", required=True, metavar="FILE", help="csv, tsv, jsonl, parquet, or a text a line; -: stdin."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A .csv, .tsv or .jsonl file to write. [default: standard output]",
)
@click.option("--input-format", type=Choice(list(FORMATS)), help="[default: as the file's name ends; lines for stdin]")
@click.option(
    "--format", "form", type=Choice(["csv", "tsv", "jsonl"]), help="Of the output. [default: as its name ends; csv]"
)
@click.option("--text-column", metavar="NAME", help="Column of texts, if it has no usual name.")
@click.option("--text-pair-column", metavar="NAME", help="Column of second texts, for pairs.")
@options.runtime
@options.max_length
@options.batch_size
@options.threads
@options.trust_remote_code
def predict(
    checkpoint: Path,
    name: str,
    output: Path | None,
    input_format: str | None,
    form: str | None,
    text_column: str | None,
    text_pair_column: str | None,
    batch_size: int | None,
    **given: Any,
) -> None:
    """Predict labels for texts with a checkpoint (a folder of the form hf, onnx or onnx-int8).

    Writes every column of the input, in its order, and behind them `prediction`: the label, with its probability as
    `score` and those of all classes, or the value for regression. Where the input has a column of such a name, it keeps
    it, and the new one is called `autokd_prediction` and so on.
    """
    written = form or _form_of(output)
    if output is not None and name != "-" and output.exists() and output.samefile(name):
        raise UsageError(f"the output is another file than the input, but both are {name!r}.")
    texts = read_texts(name, input_format, text_column, text_pair_column)
    from autokd.deploy.scoring import open_model
    from autokd.deploy.scoring import predict as labels_for
    from autokd.study.machine import cores

    model = open_model(checkpoint, given.pop("runtime"), threads=given.pop("threads") or cores(), **given)
    found = labels_for(model, texts.first, texts.second, batch_size=batch_size)
    lines = as_jsonl(texts, found) if written == "jsonl" else as_separated(texts, found, _DELIMITERS[written])
    if output is None:
        for line in lines:
            sys.stdout.write(line)
        return
    _write(output, lines)
    say(f"{counted(len(texts), 'text')} labelled: {output}")


def _form_of(output: Path | None) -> str:
    if output is None:
        return "csv"
    if output.suffix.lower() not in _BY_SUFFIX:
        raise UsageError(
            f"an output file ends in .csv, .tsv or .jsonl, but got {output.name!r}; or say which with --format."
        )
    return _BY_SUFFIX[output.suffix.lower()]


def _write(output: Path, lines: Iterator[str]) -> None:
    """The whole file or none of it."""
    if not output.parent.is_dir():
        raise UsageError(f"the output's folder must exist, but there is none at {str(output.parent)!r}.")
    part = output.with_name(f".{output.name}.part")
    try:
        with naming(output), part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
