"""A search as users run it, once for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autokd.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def searched(workplace: Path) -> Ran:
    """``autokd search --json`` in a process of its own, as a script would call it."""
    command = [
        sys.executable, "-c", "from autokd.cli import main; main()", "search", "--dataset", "mine.csv",
        "--teacher", "teacher", "--space", "small.yaml", "--budget", "2trials", "--runner", "pool", "--workers", "1",
        "--study", "first", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=300)
    return Ran(run.returncode, run.stdout, run.stderr)


@pytest.fixture
def autokd(workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command in this process, in the workplace."""

    def run(*arguments: str) -> Ran:
        monkeypatch.chdir(workplace)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run
