"""One process of one arm: reads requests as JSON lines from stdin, answers each with one JSON line."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from ideal import matmul_rates
from plan import Arm
from products import products_rate
from systems import Clock, Load, Request, System, system_of


def peak_megabytes() -> float:
    """Peak resident memory of this process, mapped files included."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def forget_peak() -> None:
    """Starts the peak anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def answer(system: System, work: Path, message: dict[str, Any]) -> dict[str, Any]:
    """What one message asks for."""
    if "matmul" in message:
        return {"flops": matmul_rates(message["matmul"])}
    if "products" in message:
        return {"rate": products_rate(**message["products"])}
    if "load" in message:
        lengths = system.load(work, Load(**message["load"]))
        forget_peak()
        return {"lengths": lengths}
    clock = Clock()
    began = time.perf_counter()
    logits = system.train(Request(**message["train"]), clock)
    return {
        "began": clock.began,
        "stamps": clock.stamps,
        "wall": time.perf_counter() - began,
        "losses": clock.losses,
        "logits": logits,
        "peak_mb": peak_megabytes(),
    }


def main() -> None:
    arm, work = Arm(**json.loads(sys.argv[1])), Path(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log, never between the replies
    import torch

    torch.set_num_threads(arm.threads)
    system = system_of(arm)
    print(json.dumps({"threads": torch.get_num_threads()}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(system, work, json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
