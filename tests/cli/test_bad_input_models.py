"""Checkpoints that are no checkpoints: half written, of another format, with code of their own."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.refusals import Refusal, table

_EVALUATE = "evaluate --dataset mine.csv "
_PREDICT = "predict --input {kept}/mine.csv --text-column text "
_SEARCH = "search --dataset mine.csv --space small.yaml --budget 2trials --runner pool -q --teacher "

CASES = [
    Refusal("no folder", _EVALUATE + "{bad}/none", ("folder", "none"), 1),
    Refusal("a text file", _EVALUATE + "{bad}/weights.txt", ("CHECKPOINT", "weights.txt' is a file")),
    Refusal("an empty folder", _PREDICT + "{bad}/nothing_inside", ("config.json", "nothing_inside"), 1),
    Refusal("half written", _EVALUATE + "{bad}/half_written", ("half_written", "cannot be loaded"), 1),
    Refusal("half written to predict", _PREDICT + "{bad}/half_written", ("half_written", "cannot be loaded"), 1),
    Refusal("no weights", _EVALUATE + "{bad}/no_weights", ("model.safetensors", "no_weights"), 1),
    Refusal("text for weights", _EVALUATE + "{bad}/text_weights", ("text_weights", "cannot be loaded"), 1),
    Refusal("only a pickle", _EVALUATE + "{bad}/only_bin", ("safetensors only", "pytorch_model.bin", "convert"), 1),
    Refusal("a broken configuration", _EVALUATE + "{bad}/bad_config", ("config.json", "bad_config"), 1),
    Refusal("classes of another task", _EVALUATE + "{bad}/other_labels", ("bad, good", "x, y"), 1),
    Refusal("code of its own", _EVALUATE + "{bad}/remote", ("--trust-remote-code", "remote"), 2),
    Refusal("unknown runtime", _EVALUATE + "{bad}/student --runtime tensorrt", ("'tensorrt'", "'onnx-int8'")),
    Refusal("a runtime for another form", _EVALUATE + "{bad}/student --runtime onnx", ("onnx", "hf", "student"), 1),
    Refusal("unknown split", _EVALUATE + "{bad}/student --split dev", ("'dev'", "'valid'")),
    Refusal("predict without a file", "predict {bad}/student --input {bad}/none.csv", ("none.csv", "exists")),
    Refusal("predict another column", _PREDICT + "{bad}/student --text-column txt", ("'txt'", "'text'")),
    Refusal("predict nothing", "predict {bad}/student --input {bad}/empty.csv", ("at least one row",), 1),
    Refusal("predict what is not UTF-8", "predict {bad}/student --input {bad}/latin1.csv", ("UTF-8", "latin1"), 1),
    Refusal("predict into no folder", _PREDICT + "{bad}/student --output {bad}/none/x.csv", ("must exist", "none")),
    Refusal("predict into another format", _PREDICT + "{bad}/student --output {new}/x.xlsx", (".tsv or .jsonl", "x")),
    # teachers
    Refusal("half written teacher", _SEARCH + "{bad}/half_teacher", ("whole safetensors file", "half_teacher"), 1),
    Refusal("teacher of a pickle", _SEARCH + "{bad}/only_bin", ("pytorch_model.bin", "convert")),
    Refusal("teacher without weights", _SEARCH + "{bad}/no_weights", ("model.safetensors", "no_weights")),
    Refusal("teacher with a broken configuration", _SEARCH + "{bad}/bad_config", ("config.json", "bad_config")),
    Refusal("teacher with code of its own", _SEARCH + "{bad}/remote", ("--trust-remote-code", "remote")),
    # convert
    Refusal("convert nothing", "convert {bad}/no_weights --output {new}/x", ("pytorch_model.bin", "no_weights")),
    Refusal("convert what is safe", "convert {bad}/student --output {new}/x", ("without safetensors", "student")),
    Refusal("convert more than tensors", "convert {bad}/pickle --output {new}/x", ("tensors and nothing else",), 1),
    Refusal("convert over files", "convert {bad}/only_bin --output {bad}", ("new or empty",)),
]  # fmt: skip


@table(CASES)
def test_a_model_is_refused_in_one_line(case: Refusal, refused: Callable[[Refusal], None]) -> None:
    refused(case)
