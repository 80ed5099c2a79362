"""The options that commands of many trainings have in common."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def parser(description: str | None, output: Path) -> argparse.ArgumentParser:
    """A parser with what all of them take; ``output``: where results go unless another folder is named."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: the larger plan, if any")
    found.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="runs at once, one thread each")
    found.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long; run it again")
    found.add_argument("--output", type=Path, default=output, help="folder of the results")
    found.add_argument("--work", type=Path, help="folder of what runs share, kept (default: a temporary one)")
    return found
