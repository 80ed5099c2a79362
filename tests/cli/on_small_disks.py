"""Runs commands on real file systems of a few kilobytes, each fresh; a process of its own, in a mount namespace.

Reads one JSON list of ``{"size_kb", "commands"}`` from standard input, where ``{disk}`` in a command is the folder of
the file system and ``+KILOBYTES`` a command that makes it larger; writes a list of the same length, of lists of
``{"code", "out", "err", "files"}``. Searches run their jobs in this process.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autokd.cli import main
from autokd.study import study
from tests.cli.small_study import in_process


@contextlib.contextmanager
def mounted(size_kb: int) -> Iterator[Path]:
    """A file system of that size in memory, read-only where it is 0; what does not fit is refused by the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        how = f"size={size_kb}k" if size_kb else "ro"
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def ran(command: Sequence[str]) -> dict[str, Any]:
    """What a command printed, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(command)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def step(command: Sequence[str], disk: Path) -> dict[str, Any]:
    """A command's words, or the one word ``+KILOBYTES``: the file system grows to that size."""
    if command[0].startswith("+"):
        subprocess.run(["mount", "-o", f"remount,size={command[0][1:]}k", str(disk)], check=True)
        return {"code": 0, "out": "", "err": ""}
    found = ran([word.format(disk=disk) for word in command])
    return {**found, "files": [str(path.relative_to(disk)) for path in disk.rglob("*")]}


def run_all() -> None:
    study.make_runner = lambda settings, places: in_process()
    found = []
    for case in json.load(sys.stdin):
        with mounted(case["size_kb"]) as disk:
            found.append([step(command, disk) for command in case["commands"]])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    run_all()
