"""What cannot be meant: names, spaces, pipelines, budgets, plug-ins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.refusals import Refusal, table

_SEARCH = "search --dataset mine.csv --teacher teacher --runner pool -q "
_SMALL = _SEARCH + "--space small.yaml "
_TWO = _SMALL + "--budget 2trials "
_SPACE = _SEARCH + "--budget 2trials --space {bad}/"
_TRAIN = "train --dataset mine.csv --teacher teacher --output {new}/student "

CASES = [
    Refusal("unknown command", "serach", ("'serach'", "search")),
    Refusal("unknown option", "studies --sotrage x", ("--sotrage", "--storage")),
    Refusal("missing option", "search --budget 1min", ("--dataset",)),
    # budgets
    Refusal("malformed budget", _SMALL + "--budget lots", ("a number and a unit", "'lots'", "8gpu-h")),
    Refusal("budget of zero", _SMALL + "--budget 0min", ("above zero", "0min")),
    Refusal("unit twice", _SMALL + "--budget 1min,2h", ("each unit once", "1min,2h")),
    Refusal("two devices", _SMALL + "--budget 1gpu-h,2cpu-h", ("GPU time or CPU time",)),
    Refusal("part of a trial", _SMALL + "--budget 2.5trials", ("whole", "2.5")),
    Refusal("GPUs per trial above one", _TWO + "--gpus-per-trial 3", ("at most 1", "3")),
    # what is optimised
    Refusal("unknown objective", _TWO + "--objectives score,sped", ("objective 'sped'", "macs")),
    Refusal("objective twice", _TWO + "--objectives score,score", ("each once", "score")),
    Refusal("no score", _TWO + "--objectives macs", ("'score'", "macs")),
    Refusal("malformed constraint", _TWO + "--constraint params=1", ("NAME<=NUMBER", "params=1")),
    Refusal("unknown constraint", _TWO + "--constraint 'parms<=1'", ("'parms'", "Did you mean 'params'")),
    Refusal(
        "contradictory constraints",
        _TWO + "--constraint 'params<=1' --constraint 'params>=2'",
        ("params>=2", "params<=1", "leave none"),
    ),
    Refusal("constraint that nothing meets", _TWO + "--constraint 'params<=1'", ("params<=1", "'small'", "at least")),
    Refusal("unknown key of latency", _TWO + "--latency batches=1", ("'batches'", "Did you mean 'batch'")),
    Refusal("unknown runtime", _TWO + "--latency runtime=tensorrt", ("'tensorrt'", "onnx-int8")),
    Refusal("latency of no rows", _TWO + "--latency batch=0", ("batch", "'0'")),
    # runners
    Refusal("unknown runner", _TWO.replace("pool", "slurm"), ("'slurm'", "'ray'", "'pool'")),
    Refusal("no workers", _TWO + "--workers 0", ("--workers", "0")),
    Refusal("address for a pool", _TWO + "--address 1.2.3.4:6379", ("'pool'", "1.2.3.4:6379")),
    Refusal("verbose and quiet", _TWO + "-v", ("-v and -q",)),
    # spaces
    Refusal("unknown space", _SEARCH + "--budget 2trials --space basic", ("'basic'", "Did you mean 'basics'")),
    Refusal("missing space", _SPACE + "none.yaml", ("none.yaml",)),
    Refusal("malformed YAML", _SPACE + "malformed.yaml", ("malformed", "line", "not YAML")),
    Refusal("duplicate keys", _SPACE + "twice.yaml", ("'epochs'", "twice", "line 6")),
    Refusal("exponent that YAML reads as text", _SPACE + "exponent.yaml", ("'1e-5'", "as a text", "line 5")),
    Refusal("space without stages", _SPACE + "no_stages.yaml", ("'stages'", "steps")),
    Refusal("two documents", _SPACE + "space_two_documents.yaml", ("space_two_documents", "document")),
    Refusal("object in YAML", _SPACE + "space_object.yaml", ("space_object", "line 1")),
    Refusal("name of a hole twice", _SPACE + "same_names.yaml", ("unique", "'layers'")),
    Refusal("low above high", _SPACE + "low_above_high.yaml", ("low must be below high", "4.0")),
    Refusal("unknown method in a space", _SPACE + "space_method.yaml", ("'Destil'", "Did you mean 'Distil'")),
    Refusal("unknown field in a space", _SPACE + "space_field.yaml", ("'epoch'", "'epochs'")),
    Refusal("illegal order in a space", _SPACE + "space_order.yaml", ("TruncateLayers", "teacher")),
    # pipelines
    Refusal("missing pipeline", _TRAIN + "{bad}/none.json", ("none.json",)),
    Refusal("broken pipeline", _TRAIN + "{bad}/broken.json", ("one JSON object", "broken.json")),
    Refusal("pipeline that is a list", _TRAIN + "{bad}/list.json", ("one JSON object", "list")),
    Refusal("unknown method", _TRAIN + "{bad}/unknown_method.json", ("'Logit'", "Did you mean 'Logits'")),
    Refusal("unknown module", _TRAIN + "{bad}/unknown_module.json", ("'basic'", "Did you mean 'basics'")),
    Refusal("unknown field", _TRAIN + "{bad}/unknown_field.json", ("'epoch'", "'epochs'")),
    Refusal("field of another type", _TRAIN + "{bad}/wrong_type.json", ("epochs", "number", "'many'")),
    Refusal("illegal order", _TRAIN + "{bad}/wrong_order.json", ("stage 1 (basics:Distil) needs student", "there are")),
    Refusal("no student", _TRAIN + "{bad}/no_student.json", ("trained student",)),
    Refusal("unknown form", _TRAIN + "{bad}/wrong_form.json", ("form", "'int4'", "'onnx-int8'")),
    # plug-ins
    Refusal("missing plug-in", _TWO + "--methods {bad}/none.py", ("none.py",)),
    Refusal("plug-in that raises", _TWO + "--methods {bad}/raises_at_import.py", ("at_import", "no such device")),
    Refusal("plug-in that is no Python", _TWO + "--methods {bad}/no_python.py", ("no_python.py", "invalid syntax")),
    Refusal("plug-in that is not named", _TRAIN + "{bad}/not_named.json", ("method module 'elsewhere'", "basics")),
    # models
    Refusal("unknown teacher", _TWO.replace("--teacher teacher", "--teacher teachr"), ("'teachr'", "folder", "minilm")),
    Refusal("folder without model", _TWO.replace("teacher teacher", "teacher {bad}/nothing_inside"), ("config.json",)),
]  # fmt: skip


@table(CASES)
def test_what_cannot_be_meant_is_refused_in_one_line(case: Refusal, refused: Callable[[Refusal], None]) -> None:
    refused(case)


@pytest.mark.parametrize("command", [_SMALL + "--budget 2gpu-h", "resume first --budget 2gpu-h"])
def test_a_gpu_budget_without_a_gpu_says_what_to_write_instead(
    command: str, refused: Callable[[Refusal], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autokd.study.machine.gpus", lambda: 0)
    refused(Refusal("GPU budget", command, ("needs a GPU", "none is visible", "2cpu-h")))
