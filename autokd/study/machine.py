"""What this machine offers for running jobs."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

# What every worker starts with. Threads that wait sleep: where a stranger holds one of the cores, threads that spin
# slow a job of two threads down several times, and asleep they cost next to nothing.
WORKER_ENVIRONMENT = {
    "MKL_NUM_THREADS": "1",  # a job sets its own number of threads
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """CPU cores that this process may keep busy: its affinity, within its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(_CGROUP_LIMIT)
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def gpus() -> int:
    """How many GPUs torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def visible_gpus() -> tuple[str, ...]:
    """The names by which a worker can be given one GPU each, empty with fewer than two."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = tuple(name.strip() for name in named.split(",") if name.strip())
    count = gpus()
    return (names or tuple(str(index) for index in range(count))) if count > 1 else ()


def _quota(path: Path) -> float:
    """A container's CPU quota in cores, 0 where there is none."""
    if not path.is_file():
        return 0.0
    limit, _, period = path.read_text().strip().partition(" ")
    return 0.0 if limit == "max" or not period else float(limit) / float(period)
