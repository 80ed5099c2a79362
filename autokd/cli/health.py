"""What ``autokd doctor`` looks at, one check each. A check that fails says what to do."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from autokd.core.canonical import Json
from autokd.core.errors import AutokdError
from autokd.report.quantities import size
from autokd.store.files import Location, files_root, redacted

State = Literal["ok", "note", "FAIL"]
LEAST_PYTHON = (3, 11)
LEAST_DISK, ROOMY_DISK = 10**9, 10**10  # bytes: what any study needs, and what a usual one does
RAY_SECONDS = 60
HUB_SECONDS = 5.0
_START_RAY = """
from autokd.study.ray_tune import connected, quiet
with quiet(), connected(address="local", num_cpus=1, include_dashboard=False):
    pass
"""


@dataclass(frozen=True)
class Check:
    """What one look found. ``note``: something optional is missing; ``FAIL``: autokd cannot do its work like this."""

    name: str
    state: State
    told: str

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def checks(storage: str, artifacts: str | None) -> Iterator[Check]:
    """Every check, one after the other; some take seconds."""
    found: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _packages,
        _devices,
        _ray,
        lambda: _storage(storage),
        lambda: _disk(storage, artifacts),
        _hub,
        _data,
    )
    for check in found:
        yield from check()


def _python() -> Iterator[Check]:
    fits = sys.version_info >= LEAST_PYTHON
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    least = ".".join(map(str, LEAST_PYTHON))
    yield Check("python", "ok" if fits else "FAIL", told if fits else f"{told}; autokd needs {least} or newer")


def _packages() -> Iterator[Check]:
    """Each package that autokd names, against the versions that it was made for."""
    from packaging.requirements import Requirement

    try:
        named = [Requirement(text) for text in metadata.requires("autokd") or ()]
    except metadata.PackageNotFoundError:
        yield Check("packages", "note", "autokd is not installed as a package, so that versions cannot be compared")
        return
    required = [each for each in named if each.marker is None or each.marker.evaluate({"extra": ""})]
    optional = [
        each for each in named if each not in required and each.marker and each.marker.evaluate({"extra": "onnx"})
    ]
    for requirement, state in (*((r, "FAIL") for r in required), *((r, "note") for r in optional)):
        wanted = f"needs {requirement.specifier or 'any version'}"
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            why = "not installed" if state == "FAIL" else "not installed; pip install 'autokd[onnx]' for the ONNX forms"
            yield Check(requirement.name, state, f"{why} ({wanted})")  # type: ignore[arg-type]
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        yield Check(requirement.name, "ok" if fits else "note", version if fits else f"{version}, but autokd {wanted}")


def _devices() -> Iterator[Check]:
    import torch

    from autokd.engine.precision import best_precision
    from autokd.study.machine import cores, gpus

    fast = best_precision(torch.device("cpu")) == "bfloat16"
    yield Check(
        "cpu", "ok", f"{cores()} cores, {'bfloat16 units' if fast else 'no bfloat16 units: float32'}{_memory()}"
    )
    names = [torch.cuda.get_device_properties(index) for index in range(gpus())]
    listed = ", ".join(f"{gpu.name} ({size(gpu.total_memory)})" for gpu in names)
    yield Check("gpu", "ok" if names else "note", listed or "none that torch can use; budgets are in cpu-min then")


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return f", {size(pages * os.sysconf('SC_PAGE_SIZE'))} of memory" if pages > 0 else ""


def _ray() -> Iterator[Check]:
    """Ray is started once, in a process of its own that can be ended when it hangs."""
    begun = time.monotonic()
    try:
        run = subprocess.run(
            [sys.executable, "-c", _START_RAY], capture_output=True, text=True, timeout=RAY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Check("ray start", "note", f"does not start within {RAY_SECONDS} s; `--runner pool` needs no Ray")
        return
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no reason was given"])[-1]
        yield Check("ray start", "note", f"does not start ({last[:200]}); `--runner pool` needs no Ray")
    else:
        yield Check("ray start", "ok", f"starts and stops in {time.monotonic() - begun:.0f} s")


def _storage(storage: str) -> Iterator[Check]:
    from autokd.store.transfer import study_names

    shown = redacted(storage)
    try:
        path = Location.parse(storage).path
        if path is not None and not path.is_file():
            folder = _existing(path.absolute().parent)
            problem = _unwritable(folder)
            told = f"{shown}: none yet, and {folder} is {problem or 'writable'}"
            yield Check("storage", "FAIL" if problem else "ok", told)
            return
        names = study_names(storage)
        problem = _unwritable(path.absolute().parent) if path is not None else ""
        if path is not None and not os.access(path, os.W_OK):
            problem = "not writable"
        yield Check(
            "storage",
            "FAIL" if problem else "ok",
            f"{shown}: {len(names) or 'no'} stud{'y' if len(names) == 1 else 'ies'}{', ' + problem if problem else ''}",
        )
    except AutokdError as error:
        yield Check("storage", "FAIL", str(error))


def _disk(storage: str, artifacts: str | None) -> Iterator[Check]:
    import shutil

    try:
        root = files_root(storage, artifacts)
    except AutokdError as error:
        yield Check("disk", "FAIL", str(error))
        return
    folder = _existing(root)
    free, problem = shutil.disk_usage(folder).free, _unwritable(folder)
    state: State = "FAIL" if free < LEAST_DISK or problem else "ok" if free >= ROOMY_DISK else "note"
    told = f"{size(free)} free for checkpoints and caches in {root}"
    yield Check("disk", state, f"{told}; it is {problem}" if problem else told)


def _hub() -> Iterator[Check]:
    from autokd.core.hub import hub_answers, is_offline

    if is_offline():
        yield Check("hub", "note", "HF_HUB_OFFLINE is set: only what its cache holds can be used")
    elif hub_answers(HUB_SECONDS):
        yield Check("hub", "ok", "the Hugging Face hub answers")
    else:
        yield Check(
            "hub", "note", f"the Hugging Face hub does not answer in {HUB_SECONDS:.0f} s; local files still work"
        )


def _data() -> Iterator[Check]:
    named = os.environ.get("AUTOKD_DATA", "")
    if not named:
        yield Check("AUTOKD_DATA", "note", "not set; it may name a folder with glue/ and text/")
    elif not Path(named).is_dir():
        yield Check("AUTOKD_DATA", "FAIL", f"{named!r} is no folder; unset it or name one that exists")
    else:
        folders = sorted(path.name for path in Path(named).iterdir() if path.is_dir())
        yield Check("AUTOKD_DATA", "ok", f"{named}: {', '.join(folders) or 'empty'}")


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _unwritable(folder: Path) -> str:
    """Why nothing can be written to a folder, ``""`` where something can: it is tried."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"not writable ({error.strerror})"
