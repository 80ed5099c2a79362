"""Fills autokd's cache of teacher outputs and says how long that took, as one JSON line.

A process of its own: in a study, too, whoever fills the cache is seldom the one who trains from it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from engine_arm import EngineSystem
from plan import ARMS


def main() -> None:
    # work folder, name of an autokd arm, then task:depth,depth for each task
    work, name = Path(sys.argv[1]), sys.argv[2]
    system = EngineSystem(next(arm for arm in ARMS if arm.name == name))
    seconds = {}
    for argument in sys.argv[3:]:
        task, depths = argument.split(":")
        seconds[task] = system.fill(work, task, [int(depth) for depth in depths.split(",")])
    print(json.dumps({"threads": torch.get_num_threads(), "seconds": seconds}))


if __name__ == "__main__":
    main()
