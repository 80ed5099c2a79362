"""From a checkpoint to one ``model.onnx`` that onnxruntime runs without torch or this project."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

import autokd.auto
from autokd.core.errors import DataError, TrainingError, UsageError
from autokd.core.seeds import Seeds
from autokd.deploy.compare import sample_batches, worst_difference
from autokd.deploy.folders import EXPORT_KEY, ONNX_FILE, kind_of, labels_of, onnx_missing, read_json, source_of
from autokd.deploy.onnx_network import OnnxNetwork
from autokd.deploy.runtimes import load_classifier, open_runtime
from autokd.models.encoder import Encoder
from autokd.models.export import AUTOKD_TYPE, TOKENIZER_FILES
from autokd.models.families import FAMILIES
from autokd.models.folders import atomic_folder
from autokd.models.hub import load_pretrained
from autokd.models.slots import build

OPSET = 20
TOLERANCE = 1e-4  # of logits, relative where they are above 1
_EXAMPLE = (2, 8)  # rows and tokens that the network is traced with; both stay free


def export_onnx(checkpoint: Path, output: Path, *, trust_remote_code: bool = False) -> Path:
    """Write ``output``: model.onnx, the tokenizer's files and config.json, whole or not at all; gives ``output``.

    Inputs are the tokenizer's outputs, int64 with free batch and length; the first output is ``logits``. The file is
    loaded again and compared with torch on batches of several sizes. Raises TrainingError where logits differ by more
    than 1e-4 (relative above 1), UsageError where the packages are missing, DataError for no checkpoint.
    """
    with atomic_folder(output) as work:
        write_onnx(checkpoint, work, trust_remote_code=trust_remote_code)
    return output


def write_onnx(checkpoint: Path, folder: Path, *, trust_remote_code: bool = False) -> float:
    """``export_onnx`` into a folder that is there; gives the largest (relative) difference of logits from torch."""
    missing = onnx_missing()
    if missing:
        raise UsageError(missing)
    if kind_of(checkpoint) != "hf":
        raise DataError(f"ONNX is made from a float checkpoint, but {str(checkpoint)!r} is of another form.")
    names = tokenizer_outputs(checkpoint, trust_remote_code)
    network = _network(checkpoint, trust_remote_code)
    _write_graph(network, names, folder / ONNX_FILE)
    copy_around(checkpoint, folder, {"form": "onnx", "opset": OPSET, "source": source_of(checkpoint)})
    return _check(checkpoint, folder, trust_remote_code)


def copy_around(source: Path, folder: Path, told: Mapping[str, Any]) -> None:
    """The tokenizer's files and the configuration (with ``told`` added) from one model's folder to another."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            (folder / name).write_bytes((source / name).read_bytes())
    config = {**read_json(source), EXPORT_KEY: dict(told)}
    if config.get("model_type") == AUTOKD_TYPE:
        config.pop("model_type")  # so that AutoTokenizer loads the folder where this project is not installed
        config.pop("architectures", None)
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def tokenizer_outputs(checkpoint: Path, trust_remote_code: bool = False) -> list[str]:
    """The names of what the checkpoint's tokenizer gives a model. Raises DataError where there is no tokenizer."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise DataError(f"a checkpoint has a tokenizer that loads, but {str(checkpoint)!r} has not: {error}") from error
    return [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokenizer("a", "b")]


class _Logits(nn.Module):
    """A transformers classifier that gives its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return cast(Tensor, self.model(input_ids=input_ids, attention_mask=attention_mask, **given).logits)


def _network(checkpoint: Path, trust_remote_code: bool) -> nn.Module:
    """The encoder families in the form made for inference; anything else as transformers computes it."""
    kind = read_json(checkpoint).get("model_type")
    if kind in FAMILIES:
        slot = load_pretrained(checkpoint, max(1, len(labels_of(checkpoint))), Seeds(0))
        return OnnxNetwork(cast(Encoder, build(slot))).eval()
    model = load_classifier(checkpoint, trust_remote_code)
    if isinstance(model, autokd.auto.AutokdForSequenceClassification):
        return OnnxNetwork(model.encoder.eval()).eval()
    model.set_attn_implementation("eager")  # plain products, which every opset has
    return _Logits(model).eval()


def _write_graph(network: nn.Module, names: list[str], path: Path) -> None:
    example = {name: torch.ones(_EXAMPLE, dtype=torch.int64) for name in names}
    with _quiet(), torch.no_grad():
        try:
            traced = _traced(network, example)
            program = torch.onnx.export(
                traced,
                (),
                kwargs=example,
                dynamo=True,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes={name: {0: "rows", 1: "length"} for name in names},
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            program.save(path, external_data=False)
        except Exception as error:  # the exporter has many errors of its own
            reason = str(error).strip().splitlines() or [repr(error)]
            raise TrainingError(f"this network has no ONNX form: torch's exporter says {reason[0]}") from error


def _traced(network: nn.Module, example: dict[str, Tensor]) -> torch.export.ExportedProgram:
    """The network's operations, batch and length free; without torch's own checks of sizes, some of which no ONNX
    integer can hold.
    """
    free = {name: {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO} for name in example}
    program = torch.export.export(network, (), example, dynamic_shapes=free)
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op == "call_function" and "assert" in str(node.target) and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on its own workings are nobody's concern here."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check(checkpoint: Path, folder: Path, trust_remote_code: bool) -> float:
    expected = open_runtime("torch", checkpoint, trust_remote_code=trust_remote_code)
    made = open_runtime("onnx", folder)
    worst = worst_difference(made, expected, sample_batches(expected))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"an ONNX file must give the logits of its checkpoint, but they differ by {worst:.3g} "
            f"(allowed: {TOLERANCE:g}) for {str(checkpoint)!r}."
        )
    return worst
