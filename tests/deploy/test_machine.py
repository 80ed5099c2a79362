"""The name of the machine that latencies are measured on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from autokd.deploy.machine import processor, timing_machine


def test_it_names_processor_cores_and_runtimes() -> None:
    told = timing_machine()
    assert told.startswith(processor(Path("/proc/cpuinfo")))
    assert f"torch {version('torch')}" in told
    assert "core" in told
    assert "\n" not in told


def test_a_processor_is_named_by_linux_or_else_by_python(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some  CPU @ 2 GHz\nmodel name\t: Another\n")
    assert processor(told) == "Some CPU @ 2 GHz"
    assert processor(tmp_path / "absent") == (platform.processor() or platform.machine())
