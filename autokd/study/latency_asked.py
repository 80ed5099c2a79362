"""The latency that a search was asked for, in tokens and on what this machine can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autokd.core.errors import UsageError
from autokd.core.latency import LatencySpec
from autokd.deploy.forms import onnx_missing


def find_graph_latency(text: str) -> LatencySpec:
    """The spec that a text asks for on a graph, where a call is a pass of torch over all of it.

    Raises UsageError where it names another runtime, or a length: nodes have none.
    """
    spec = LatencySpec.parse(text)
    if "length" in text or ("runtime" in text and spec.runtime != "torch"):
        raise UsageError(f"--latency on a graph may name batch and threads, and runs in torch, but got {text!r}.")
    return replace(spec, runtime="torch", length=1)


def find_latency(text: str, lengths: Sequence[int], max_length: int) -> tuple[LatencySpec, int, tuple[str, ...]]:
    """The spec that a text asks for, its length in tokens, and notes for the reader.

    ``lengths`` are the data's rows'. Where the packages of the ONNX runtimes are missing and the text names no runtime,
    latencies are torch's, with a note. Raises UsageError where it names one that cannot run here, and as
    ``LatencySpec.parse``.
    """
    spec, why = LatencySpec.parse(text), onnx_missing()
    notes: tuple[str, ...] = ()
    if why and spec.runtime.startswith("onnx"):
        if "runtime" in text:
            raise UsageError(f"--latency names the runtime {spec.runtime!r}, which cannot run here: {why}")
        spec, notes = replace(spec, runtime="torch"), (f"Latencies are measured in torch, and nothing in int8: {why}",)
    return spec, spec.resolve(lengths, max_length), notes
