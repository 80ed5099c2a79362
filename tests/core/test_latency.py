"""The text of a latency spec, and what it resolves to."""

from __future__ import annotations

import pytest

from autokd.core.errors import UsageError
from autokd.core.latency import DEFAULT_LATENCY, LatencySpec


def test_keys_left_out_have_their_defaults() -> None:
    assert LatencySpec.parse("") == LatencySpec(1, "p95", 1, "onnx")
    assert LatencySpec.parse(" batch = 32, runtime=torch-bf16 ") == LatencySpec(32, "p95", 1, "torch-bf16")
    assert DEFAULT_LATENCY == "batch=1,length=p95,threads=1,runtime=onnx"


def test_the_text_is_read_back() -> None:
    spec = LatencySpec(batch=8, length=40, threads=2, runtime="onnx-int8")
    assert LatencySpec.parse(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "bach=1",
            r"unknown key of --latency 'bach'. Did you mean 'batch'\? Available: batch, length, runtime, threads",
        ),
        ("runtime=onyx", r"unknown runtime of --latency 'onyx'. Did you mean 'onnx'\?"),
        ("batch=0", r"batch is a whole number above 0, but got '0'"),
        ("threads=two", r"threads is a whole number above 0, but got 'two'"),
        ("length=p99", r"one of p50, p95, max; got 'p99'"),
        ("length=0", r"length is a whole number above 0"),
        ("batch", "as KEY=VALUE, but got 'batch'"),
        ("batch=1,batch=2", "each key once"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        LatencySpec.parse(text)


def test_a_length_is_a_number_or_that_of_a_row() -> None:
    lengths = [4, 10, 20, 60]
    assert LatencySpec(length="p50").resolve(lengths, 128) == 20
    assert LatencySpec(length="p95").resolve(lengths, 128) == 60
    assert LatencySpec(length="max").resolve(lengths, 50) == 50
    assert LatencySpec(length=7).resolve(lengths, 128) == 7
    assert LatencySpec(length="p50").resolve([], 128) == 128
    with pytest.raises(UsageError, match="at most the study's 128 tokens, got 200"):
        LatencySpec(length=200).resolve(lengths, 128)
