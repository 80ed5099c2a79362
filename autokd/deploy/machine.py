"""The machine that latencies are measured on: only those of one machine may be compared."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_RUNTIMES = ("onnxruntime", "torch")


@cache
def timing_machine() -> str:
    """The processor, how many cores it has, and the runtimes' versions, in one line that is equal where latencies may
    be compared."""
    cores = os.cpu_count() or 1
    made = ", ".join(f"{name} {found}" for name in _RUNTIMES if (found := _version(name)))
    return f"{processor(_CPUINFO)}, {cores} core{'' if cores == 1 else 's'}; {made}"


def processor(cpuinfo: Path) -> str:
    """The processor's name as Linux tells it, else what Python knows of it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(next(named, "").split()) or platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
