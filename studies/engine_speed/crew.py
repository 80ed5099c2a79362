"""The processes of one arm, seen from the parent, which itself loads no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plan import Arm

HERE = Path(__file__).parent


def environment(threads: int) -> dict[str, str]:
    """The environment of a process with that many threads, and no way to a hub."""
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    path = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, **counts, **quiet, "PYTHONPATH": path}


class Crew:
    """All processes of one arm, which answer together."""

    def __init__(self, arm: Arm, work: Path) -> None:
        self.arm = arm
        self.log = work / f"{arm.name.replace(' ', '_').replace(',', '')}.log"
        command = [sys.executable, str(HERE / "worker.py"), json.dumps(asdict(arm)), str(work)]
        with self.log.open("a") as log:
            self.processes = [
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment(arm.threads),
                )
                for _ in range(arm.processes)
            ]

    def ready(self) -> None:
        """Waits for the processes' imports, and checks that each has the threads that the arm states."""
        for hello in self.hear():
            if hello["threads"] != self.arm.threads:
                raise SystemExit(f"{self.arm.name} runs {hello['threads']} threads, not {self.arm.threads}")

    def ask(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Has every process do what the message says, at once. SystemExit, with the end of the log, where one died."""
        self.tell(message)
        return self.hear()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends the message to every process; ``hear`` waits for the answers."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

    def close(self) -> None:
        """Ends the processes."""
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self.processes:
            process.wait()

    def hear(self) -> list[dict[str, Any]]:
        """Each process's answer to the message before."""
        replies = []
        for process in self.processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                end = self.log.read_text()[-2000:]
                raise SystemExit(f"a process of {self.arm.name!r} ended unexpectedly; its log ends with:\n{end}")
            replies.append(json.loads(line))
        return replies
