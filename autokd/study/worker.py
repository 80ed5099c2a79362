"""A worker process of the pool: reads jobs from a socket, one JSON line each, and answers with progress and outcome.

Started as ``python -m autokd.study.worker SOCKET_FD PARENT_PID FUNCTION``; ``FUNCTION`` is the address of what runs a
job, ``module:function`` with the signature of ``autokd.runner.run_job``. Lines to the driver are
``{"ready": true}``, ``{"progress": {...}}`` and ``{"outcome": {...}}``.
"""

from __future__ import annotations

import importlib
import json
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from autokd.core.job import Job, Outcome, Progress
from autokd.study.lease import Watchdog, die_with_parent

RUN_JOB = "autokd.runner:run_job"

Work = Callable[[Job, Callable[[Progress], None]], Outcome]


def work_function(address: str) -> Work:
    """The function at ``package.module:name``."""
    module, _, name = address.partition(":")
    found: Work = getattr(importlib.import_module(module), name)
    return found


def run_safely(work: Work, job: Job, report: Callable[[Progress], None]) -> Outcome:
    """The job's outcome; an exception that escapes the function is the job's failure, not the worker's."""
    try:
        return work(job, report)
    except Exception as error:
        return Outcome("failed", 0.0, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


def serve(connection: socket.socket, work: Work, watchdog: Watchdog) -> None:
    """Run jobs one after the other until the driver closes the connection."""
    lines = connection.makefile("r", encoding="utf-8")

    def send(message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")

    def report(progress: Progress) -> None:
        send({"progress": asdict(progress)})

    send({"ready": True})
    for line in lines:
        job = Job.from_json(json.loads(line))
        watchdog.watch(job.lease)
        send({"outcome": run_safely(work, job, report).to_json()})


def main(arguments: list[str]) -> None:
    """Connect to the driver and serve it."""
    descriptor, parent, address = int(arguments[0]), int(arguments[1]), arguments[2]
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which asks its workers to save themselves
    watchdog = Watchdog(parent)
    serve(socket.socket(fileno=descriptor), work_function(address), watchdog)


if __name__ == "__main__":
    main(sys.argv[1:])
