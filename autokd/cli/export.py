"""``export``: a trial's checkpoint as a folder to deploy."""

from __future__ import annotations

from pathlib import Path

import click

from autokd.cli import options
from autokd.cli.output import print_json, say
from autokd.cli.suggest import Choice
from autokd.report.quantities import size

_HOW_TO_LOAD = {
    "graph": "autokd.deploy.graph_runtime.open_graph_runtime(Path({folder!r}))",
    "hf": 'transformers.pipeline("text-classification", {folder!r})',
    "own": 'import autokd.auto; transformers.pipeline("text-classification", {folder!r})',
    "onnx": "onnxruntime.InferenceSession({file!r}), AutoTokenizer.from_pretrained({folder!r})",
}


@click.command(
    short_help="A trial's checkpoint as a folder to deploy.",
    epilog=options.examples(
        "autokd export mine-20260101-1 --output my-student",
        "autokd export mine-20260101-1 --trial 13 --format onnx-int8 --output my-student-int8",
    ),
)
@options.study
@click.option("--trial", type=click.IntRange(min=0), help="The trial's number. [default: the best of the frontier]")
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="A new folder."
)
@click.option(
    "--format",
    "form",
    default="hf",
    show_default=True,
    type=Choice(["hf", "onnx", "onnx-int8"]),
    help="A transformers checkpoint, or a graph for onnxruntime in float32 or int8.",
)
@options.storage
@options.artifacts
@options.trust_remote_code
@options.as_json
def export(
    study: str,
    trial: int | None,
    output: Path,
    form: str,
    storage: str,
    artifacts: str | None,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Export the checkpoint of a study's trial, reloaded and compared with what the study measured.

    The folder holds the weights (or the graph), the tokenizer's files and a model card; autokd is not needed to use it,
    except for shapes that transformers cannot build itself.
    """
    from autokd.study.result import read_result
    from autokd.study.shipping import find_checkpoint

    found = read_result(storage, study, artifacts)
    shipped = find_checkpoint(found, trial)
    from autokd.study.exporting import export_trial

    made = export_trial(found, shipped, output, form, trust_remote_code=trust_remote_code)
    say(f"trial {shipped.trial} of {study}: {shipped.checkpoint}")
    if as_json:
        return print_json(
            {
                "study": study,
                "trial": shipped.trial,
                "form": form,
                "folder": str(made.folder.resolve()),
                "size_bytes": made.size_bytes,
                "worst_difference": made.worst_difference,
                "needs_autokd": _kind(made.folder) == "own",
            }
        )
    click.echo(f"{made.folder}  {form}, {size(made.size_bytes)}")
    click.echo(f"logits differ from the study's checkpoint by at most {made.worst_difference:.2g}")
    click.echo(how_to_load(made.folder))


def how_to_load(folder: Path) -> str:
    """What to do with an exported folder, for whoever reads it in a terminal."""
    kind = _kind(folder)
    told = "load it with " + _HOW_TO_LOAD[kind].format(folder=str(folder), file=str(folder / "model.onnx"))
    if kind == "own":
        told += "\ntransformers alone does not know this shape; where autokd is not installed, use --format onnx"
    return told


def _kind(folder: Path) -> str:
    from autokd.deploy.folders import is_own, kind_of

    kind = kind_of(folder)
    if kind == "hf" and is_own(folder):
        return "own"
    return "onnx" if kind.startswith("onnx") else kind
