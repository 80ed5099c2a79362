"""The pool runner: worker processes on this machine, kept for the whole study, fed through sockets."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from autokd.core.errors import AutokdError
from autokd.core.job import Job, Outcome, Progress
from autokd.core.settings import StudySettings
from autokd.study.causes import CRASHED
from autokd.study.lease import kept_fresh
from autokd.study.machine import WORKER_ENVIRONMENT
from autokd.study.places import Places
from autokd.study.worker import RUN_JOB

_STARTS = 3  # a seat whose workers could not start so often in a row ends the study
_WAIT_SECONDS = 0.5  # how long to wait for a worker's line before the driver's clock is looked at again


class Driver(Protocol):
    """What a runner needs of the study's driver."""

    @property
    def finished(self) -> bool: ...

    def next_job(self) -> Job | None: ...

    def progress(self, job_id: str, progress: Progress) -> None: ...

    def done(self, job_id: str, outcome: Outcome) -> None: ...

    def tick(self) -> None: ...


@dataclass
class Worker:
    """One worker process: whether it has started up, and what it is doing.

    ``received`` holds bytes of a line that is not whole yet. ``attempt`` counts the processes of its seat, from the
    first one after the last that came up.
    """

    process: subprocess.Popen[bytes]
    connection: socket.socket
    attempt: int = 1
    ready: bool = False
    job: str = ""
    received: bytes = b""
    messages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class PoolRunner:
    """Runs a study's jobs in ``workers`` processes. ``work`` is the address of what runs a job."""

    workers: int
    places: Places
    visible_gpus: Sequence[str] = ()
    work: str = RUN_JOB

    def run(self, driver: Driver, settings: StudySettings) -> None:
        """Until the driver has finished. Workers that die fail their job only; others take their place.

        Raises AutokdError where workers cannot even be started, several times in a row.
        """
        with kept_fresh(self.places.lease):
            crew: dict[int, Worker] = {}
            try:
                while not driver.finished:
                    for seat in set(range(self.workers)) - set(crew):
                        crew[seat] = self._hire(seat)
                    self._hand_out(driver, crew)
                    if not driver.finished:
                        self._listen(driver, crew)
                        driver.tick()
            finally:
                _dismiss(crew.values())

    def _hand_out(self, driver: Driver, crew: dict[int, Worker]) -> None:
        """Start as many jobs as the driver has for free workers. A worker that starts up is not charged for it."""
        for seat, worker in sorted(crew.items()):
            if worker.job or not worker.ready:
                continue
            job = driver.next_job()
            if job is None:
                return
            worker.job = job.id
            try:
                worker.connection.sendall(json.dumps(job.to_json()).encode() + b"\n")
            except OSError:
                self._bury(driver, crew, seat)

    def _listen(self, driver: Driver, crew: dict[int, Worker]) -> None:
        """Wait for lines of workers for a moment, and pass them on."""
        with selectors.DefaultSelector() as selector:
            for seat, worker in crew.items():
                selector.register(worker.connection, selectors.EVENT_READ, seat)
            for key, _ in selector.select(_WAIT_SECONDS):
                worker = crew[key.data]
                alive = _receive(worker)
                for message in worker.messages:
                    _pass_on(driver, worker, message)
                worker.messages.clear()
                if not alive:
                    self._bury(driver, crew, key.data)

    def _hire(self, seat: int, attempt: int = 1) -> Worker:
        ours, theirs = socket.socketpair()
        log = self._log(seat)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "autokd.study.worker", str(theirs.fileno()), str(os.getpid()), self.work],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(seat),
            )
        theirs.close()
        return Worker(process, ours, attempt)

    def _log(self, seat: int) -> Path:
        return self.places.runner_log / f"worker-{seat}.txt"

    def environment(self, seat: int) -> Mapping[str, str]:
        """One thread for every library until a job says otherwise; one GPU for each worker where there are several."""
        found = {**os.environ, **WORKER_ENVIRONMENT}
        root = str(Path(__file__).resolve().parents[2])
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        if self.visible_gpus:
            found["CUDA_VISIBLE_DEVICES"] = self.visible_gpus[seat % len(self.visible_gpus)]
        return found

    def _bury(self, driver: Driver, crew: dict[int, Worker], seat: int) -> None:
        """A worker is gone: its job failed with the cause, and its seat is free.

        One that could not start is replaced at once, since something passing (memory, a signal) may have ended it.
        """
        worker = crew.pop(seat)
        worker.connection.close()
        code = worker.process.wait()
        if worker.job:
            driver.done(worker.job, Outcome("failed", 0.0, error=f"{CRASHED}: {_cause(code)}"))
        if not worker.ready and worker.attempt < _STARTS:
            crew[seat] = self._hire(seat, worker.attempt + 1)
        elif not worker.ready:
            log = self._log(seat)
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise AutokdError(f"a worker could not start ({_cause(code)}): {last} (more in {log})")


def _receive(worker: Worker) -> bool:
    """Read what there is; False once the worker's end is closed."""
    try:
        data = worker.connection.recv(1 << 16)
    except ConnectionError:
        return False
    *lines, worker.received = (worker.received + data).split(b"\n")
    worker.messages += [json.loads(line) for line in lines]
    return bool(data)


def _pass_on(driver: Driver, worker: Worker, message: Mapping[str, Any]) -> None:
    if "ready" in message:
        worker.ready = True
    elif "progress" in message:
        driver.progress(worker.job, Progress(**message["progress"]))
    elif "outcome" in message:
        job, worker.job = worker.job, ""
        driver.done(job, Outcome.from_json(message["outcome"]))


def _cause(code: int) -> str:
    """Why a process ended: a signal's name where there was one."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name} (often: out of memory)" if name == "SIGKILL" else name


def _dismiss(crew: Iterable[Worker]) -> None:
    """End all workers. Idle ones hold nothing; busy ones have what they saved last (the study was torn down)."""
    for worker in crew:
        worker.process.kill()
        worker.connection.close()
        worker.process.wait()
