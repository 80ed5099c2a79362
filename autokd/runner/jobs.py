"""One job, from its JSON to what was measured. Runs in a worker process; never raises for the job's own failures."""

from __future__ import annotations

import json
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from autokd.core.address import load_files
from autokd.core.canonical import digest
from autokd.core.disk import NO_ROOM, refusal
from autokd.core.errors import AutokdError, Paused
from autokd.core.job import ALONE, Job, Outcome, Progress
from autokd.core.json_files import write_json, write_text
from autokd.core.paths import located, portable
from autokd.deploy.machine import timing_machine
from autokd.engine.precision import set_threads
from autokd.models.remote import trusting
from autokd.runner import trial
from autokd.runner.bench import run_latency
from autokd.runner.deploy import run_deploy
from autokd.runner.forms import JOB_FILES
from autokd.runner.prefix import prefix_ready, run_prefix
from autokd.runner.probe import run_probe

Report = Callable[[Progress], None]
_NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


def run_job(job: Job, report: Report) -> Outcome:
    """Run a job to its end, its deadline, a stop request (a file ``stop`` in its folder) or its failure.

    A finished job leaves ``result.json`` in its folder; asked again, it returns what that file says. Only latencies of
    another machine are measured anew.
    """
    folder, clock = Path(job.folder), time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        other = other_work(folder, job)
        if other:
            return Outcome("failed", 0.0, error=other)
        done = read_result(folder, job.kind)
        if done is not None and _still_holds(done, job):
            return done
        set_threads(job.threads)
        load_files([Path(path) for path in job.spec.method_files])
        with trusting(job.spec.trust_remote_code):
            outcome = _timed(_run(job, report), job, clock)
        if outcome.state == "complete":
            write_json(folder / f"{job.kind}.result.json", portable(outcome.to_json(), folder))
        return outcome
    except Paused:
        outcome = Outcome("paused", 0.0)
    except AutokdError as error:
        outcome = Outcome("failed", 0.0, error=str(error))
    except Exception as error:
        told = cause(error, job.spec.method_files)
        outcome = Outcome("failed", 0.0, error=told, trace=traceback.format_exc())
    return _timed(outcome, job, clock)


def _still_holds(done: Outcome, job: Job) -> bool:
    """Whether a finished job need not run again: what it made is there, and what it timed was timed on this machine."""
    if job.kind in ALONE:
        return done.timed_on == timing_machine()
    return job.kind != "prefix" or prefix_ready(job.spec)  # a cache may be gone, after the result was written


def _timed(outcome: Outcome, job: Job, began: float) -> Outcome:
    return replace(outcome, seconds=time.monotonic() - began, environment=environment(job))


def other_work(folder: Path, job: Job) -> str:
    """Why a folder cannot serve this job: it holds the work of another pipeline, data set or seed. Empty: it can.

    The first job to use a folder marks it; a probe leaves nothing that could be taken for another's.
    """
    if job.kind == "probe":
        return ""
    spec = job.spec
    told = [spec.pipeline, Path(spec.task).name, sorted(spec.assets), spec.seed, spec.replicate]
    key, mark = digest([*told, spec.max_length, spec.precision]), folder / "spec.digest"
    if mark.is_file() and mark.read_text() != key:
        return f"a folder serves one pipeline, data set and seed, but {str(folder)!r} holds the work of another."
    if not mark.is_file():
        write_text(mark, key)
    return ""


def _run(job: Job, report: Report) -> Outcome:
    match job.kind:
        case "probe":
            return run_probe(job)
        case "prefix":
            return run_prefix(job, report)
        case "latency":
            return run_latency(job)
        case "deploy":
            return run_deploy(job)
        case _:
            return trial.run_trial(job, report)


def cause(error: Exception, own_files: Sequence[str] = ()) -> str:
    """One line for an unforeseen error; memory and disk are named as such.

    For any other it says where: the innermost line of ``own_files`` (the user's methods), else of all.
    """
    text = (str(error).strip().splitlines() or [""])[0]
    out_of_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    )
    if out_of_memory:
        told = text.partition("DefaultCPUAllocator: ")[2] or text  # what stands before it is torch's own place
        return f"out of memory: {told or 'the process could not get more'}"
    if isinstance(error, OSError) and error.strerror:
        return refusal(error).rstrip(".")
    if NO_ROOM in str(error):
        return f"the disk is full: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if frame.filename in own_files), frames[-1] if frames else None)
    where = f" in {Path(place.filename).name}, line {place.lineno}" if place is not None else ""
    return f"unforeseen error{where}: {type(error).__name__}: {text}".rstrip(": ")


def environment(job: Job) -> dict[str, str]:
    """Where the job ran, for its record."""
    gpu = torch.cuda.get_device_name(0) if job.device == "gpu" and torch.cuda.is_available() else ""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": gpu or platform.processor() or platform.machine(),
        "threads": str(job.threads),
        "host": platform.node(),
    }


def read_result(folder: Path, kind: str) -> Outcome | None:
    """The outcome that a finished job of this kind left in its folder, None where there is none."""
    path = folder / f"{kind}.result.json"
    return Outcome.from_json(located(json.loads(path.read_text()), folder, JOB_FILES)) if path.is_file() else None
