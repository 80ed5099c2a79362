"""The figures of results.json as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RUNTIMES = ("torch", "torch-bf16", "onnx", "onnx-int8")
REFERENCE = ("teacher", "torch")


def page(found: Mapping[str, Any]) -> str:
    """The whole page, Markdown."""
    about = found["about"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    parts = [
        "# Deployment",
        f"{about['cpu']}, {about['cores']} cores; {packages}. Load before the timing: {about['load_before']:.2f}.",
        f"{about['task']}: students of {about['train_rows']} training rows, scored on {about['test_rows']} test rows; "
        f"timed at {about['length']} tokens (95th percentile).",
        "## Goals (3 layers, batch 1)",
        goals(found),
        "## Scores and sizes",
        quality(found),
    ]
    for batch in sorted({row["batch"] for row in found["speed"]}):
        parts += [f"## Latency at batch {batch}", latency(found["speed"], batch)]
    return "\n\n".join(parts) + "\n"


def goals(found: Mapping[str, Any]) -> str:
    """What was asked for, what was reached."""
    times = _medians(found["speed"], 1)
    int8 = times["3 layers", "onnx-int8"]
    scores = found["quality"]["3 layers"]["test_score"]
    loss = scores["torch"] - scores["onnx-int8"]
    over_teacher, over_itself = times[REFERENCE] / int8, times["3 layers", "torch"] / int8
    rows = [
        ["int8 against the float32 torch teacher", "5x", f"{over_teacher:.2f}x", _yes(over_teacher >= 5)],
        ["int8 against itself in torch float32", "2.5x", f"{over_itself:.2f}x", _yes(over_itself >= 2.5)],
        ["score lost by int8, points", "at most 1", f"{100 * loss:.2f}", _yes(loss <= 0.01)],
    ]
    return _table(["what", "goal", "reached", "met"], rows)


def quality(found: Mapping[str, Any]) -> str:
    """Test scores and megabytes by runtime."""
    rows = []
    for name, told in found["quality"].items():
        scores, sizes = told["test_score"], told["size_bytes"]
        shown = [f"{scores[runtime]:.4f}" for runtime in RUNTIMES]
        megabytes = [f"{sizes[runtime] / 1e6:.1f}" for runtime in ("torch", "onnx", "onnx-int8")]
        rows.append([name, f"{found['parameters'][name] / 1e6:.1f}M", *shown, *megabytes, told["quantization"]])
    head = ["student", "parameters", *RUNTIMES, "MB torch", "MB onnx", "MB onnx-int8", "int8 is"]
    return _table(head, rows)


def latency(rows: Sequence[Mapping[str, Any]], batch: int) -> str:
    """Median (p90) milliseconds of a batch and the speed-up over the teacher in torch float32."""
    times = _medians(rows, batch)
    p90 = {(row["model"], row["runtime"]): row["p90_ms"] for row in rows if row["batch"] == batch}
    told = []
    for model in dict.fromkeys(name for name, _ in times):
        cells = [
            f"{times[model, runtime]:.2f} ({p90[model, runtime]:.2f}), {times[REFERENCE] / times[model, runtime]:.1f}x"
            for runtime in RUNTIMES
        ]
        fastest = min(RUNTIMES, key=lambda runtime: times[model, runtime])
        told.append([model, *cells, fastest])
    return _table(["model", *(f"{runtime}, ms (p90)" for runtime in RUNTIMES), "fastest"], told)


def _medians(rows: Sequence[Mapping[str, Any]], batch: int) -> dict[tuple[str, str], float]:
    return {(row["model"], row["runtime"]): row["median_ms"] for row in rows if row["batch"] == batch}


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
