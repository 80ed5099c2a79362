"""``convert``: weights in an old format, once, into safetensors."""

from __future__ import annotations

from pathlib import Path

import click

from autokd.cli import options
from autokd.cli.output import print_json
from autokd.report.quantities import size


@click.command(
    short_help="Turn pytorch_model.bin into safetensors.",
    epilog=options.examples("autokd convert downloads/old-bert --output models/old-bert"),
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="A new folder."
)
@options.as_json
def convert(folder: Path, output: Path, as_json: bool) -> None:
    """Turn a model's pytorch_model.bin into safetensors, which is all that autokd reads.

    Only tensors are taken out of the file; nothing that it holds is run.
    """
    from autokd.models.convert import convert as converted

    made = converted(folder, output)
    n_bytes = sum(path.stat().st_size for path in made.glob("*.safetensors"))
    if as_json:
        return print_json({"folder": str(made.resolve()), "size_bytes": n_bytes})
    click.echo(f"{made}  safetensors, {size(n_bytes)}; use it with --teacher {made}")
