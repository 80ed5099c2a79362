"""The figures of results.json as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "dense": "dense, whole",
    "narrow": "dense, one expert's width",
    "hash": "experts by hash",
    "gate_token": "experts by token gate",
    "gate_sentence": "experts by sentence gate",
}
GOAL = 1.25


def page(found: Mapping[str, Any]) -> str:
    """The whole page, Markdown."""
    about = found["about"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    parts = [
        "# What experts cost",
        f"{about['cores']} cores, one thread each; {packages}. Load before the timing: {about['load_before']:.2f}. "
        f"{about['note']}".strip(),
        f"Texts of {about['length']} tokens.",
        "## Work and size",
        work(found),
    ]
    for batch in sorted({row["batch"] for row in found["speed"]}):
        parts += [f"## Processor time at batch {batch}", latency(found["speed"], batch)]
    parts += ["## Goal", goal(found["speed"])]
    return "\n\n".join(parts) + "\n"


def work(found: Mapping[str, Any]) -> str:
    """Parameters, multiply-accumulates by closed form and as counted, bytes, and how even the experts' loads are."""
    rows = []
    for name, told in found["cost"].items():
        fullest = found["fullest"].get(name)
        rows.append(
            [
                NAMES[name],
                f"{told['params'] / 1e6:.2f}M",
                f"{told['active_params'] / 1e6:.2f}M",
                f"{told['macs'] / 1e6:.1f}M",
                f"{told['counted_macs'] / 1e6:.1f}M",
                *(f"{told['size_bytes'][runtime] / 1e6:.1f}" for runtime in ("torch", "onnx-int8")),
                "" if fullest is None else f"{fullest:.2f}",
            ]
        )
    head = ["network", "stored", "active", "MACs", "counted", "MB float32", "MB int8", "fullest expert's share"]
    return _table(head, rows)


def latency(rows: Sequence[Mapping[str, Any]], batch: int) -> str:
    """Median processor milliseconds of a batch, and the ratio to the narrow dense network in the same runtime."""
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    lines = []
    for name in NAMES:
        cells = []
        for runtime in runtimes:
            row = _row(rows, name, runtime, batch)
            cells.append(f"{row['cpu_ms']:.2f}, {ratio(rows, name, runtime, batch):.2f}x")
        lines.append([NAMES[name], *cells])
    return _table(["network", *(f"{runtime}, ms" for runtime in runtimes)], lines)


def goal(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether experts take at most 1.25 times the narrow network's time at batch 32."""
    lines = []
    for name in NAMES:
        if name in ("dense", "narrow"):
            continue
        for runtime in ("torch", "onnx"):
            found = ratio(rows, name, runtime, 32)
            lines.append([NAMES[name], runtime, f"at most {GOAL}x", f"{found:.2f}x", "yes" if found <= GOAL else "no"])
    return _table(["network, batch 32", "runtime", "goal", "reached", "met"], lines)


def ratio(rows: Sequence[Mapping[str, Any]], name: str, runtime: str, batch: int) -> float:
    """A network's median over that of the dense network with one expert's width."""
    return float(_row(rows, name, runtime, batch)["cpu_ms"] / _row(rows, "narrow", runtime, batch)["cpu_ms"])


def _row(rows: Sequence[Mapping[str, Any]], name: str, runtime: str, batch: int) -> Mapping[str, Any]:
    wanted = (name, runtime, batch)
    return next(row for row in rows if (row["model"], row["runtime"], row["batch"]) == wanted)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
