"""The engine's speed against Hugging Face Trainer and TextBrewer, in one run. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from crew import environment  # noqa: E402
from measure import speed  # noqa: E402
from plan import FULL, QUICK, Plan  # noqa: E402
from quality import quality  # noqa: E402
from summary import page  # noqa: E402
from texts import glue_folder  # noqa: E402


def machine() -> dict[str, Any]:
    """What the numbers belong to, and how busy the machine already was."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ("torch", "transformers", "accelerate", "textbrewer", "numpy")
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages if find_spec(name) is not None},
        "load_before": os.getloadavg()[0],
    }


def prepare(plan: Plan, work: Path) -> None:
    """Teachers and students, made in a process of its own with all cores."""
    wanted = [f"{task}:{plan.teacher_rows}:1:{','.join(map(str, depths))}" for task, depths in plan.depths.items()]
    wanted.append(f"{plan.quality_task}:{plan.quality_rows}:2:3")
    command = [sys.executable, str(HERE / "prepare.py"), str(work), *wanted]
    with (work / "prepare.log").open("w") as log:
        subprocess.run(command, check=True, env=environment(os.cpu_count() or 1), stderr=log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one cell and few rows: about 4 minutes")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the results")
    options = parser.parse_args()
    glue_folder()
    plan, name = (QUICK, "quick") if options.quick else (FULL, "results")
    began = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - began:4.0f} s] {line}", flush=True)

    about = machine()
    if about["load_before"] > 0.5:
        say(f"others use this machine (load {about['load_before']:.1f}): the figures will not be worth much")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(plan, work)
        found: dict[str, Any] = {"machine": about, "speed": speed(plan, work, say), "quality": quality(plan, work, say)}
    found["seconds"] = round(time.perf_counter() - began)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / f"{name}.md").write_text(page(found))
    say(f"wrote {options.output / name}.md")


if __name__ == "__main__":
    main()
