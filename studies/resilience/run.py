"""Kill a search's driver and its workers at random moments, resume, and check that nothing recorded was lost.

    python studies/resilience/run.py --runner pool --driver-kills 10 --worker-kills 3

Prints one line per kill and, at the end, the checks; exits with 1 if one of them fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil

STUDY = "resilience"
ORPHAN_SECONDS = 30.0  # how long a worker may outlive its driver


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "autokd", *arguments]


def snapshot(storage: str) -> dict[str, Any]:
    """The study as ``autokd studies show --json`` tells it."""
    done = subprocess.run(
        command("studies", "show", STUDY, "--storage", storage, "--json"), capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def complete(study: dict[str, Any]) -> dict[int, str]:
    """Finished trials by number, with all that was recorded of them as text."""
    return {
        trial["number"]: json.dumps([trial["values"], trial["pipeline"], trial["device_seconds"]], sort_keys=True)
        for trial in study["trials"]
        if trial["state"] == "complete"
    }


def descendants(pid: int) -> list[psutil.Process]:
    """Everything that a process started, but for Ray's two agents: they hold no device and go a minute later."""
    try:
        return [child for child in psutil.Process(pid).children(recursive=True) if not _is_agent(child)]
    except psutil.NoSuchProcess:
        return []


def _is_agent(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).strip() in ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    except psutil.NoSuchProcess:
        return False


def busiest_worker(pid: int) -> psutil.Process | None:
    """The descendant that has used the most processor time: a worker at its job."""
    alive = []
    for process in descendants(pid):
        try:
            times = process.cpu_times()
            alive.append((times.user, process))
        except psutil.NoSuchProcess:
            continue
    return max(alive, key=lambda item: item[0])[1] if alive else None


def wait_gone(processes: list[psutil.Process]) -> float:
    """Seconds until the last of these processes ended (at most ``ORPHAN_SECONDS`` plus a little)."""
    started = time.monotonic()
    psutil.wait_procs(processes, timeout=ORPHAN_SECONDS + 10)
    return time.monotonic() - started


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runner", choices=["pool", "ray"], default="pool")
    parser.add_argument("--budget", default="16cpu-min")
    parser.add_argument("--dataset", default="pydocs")
    parser.add_argument("--driver-kills", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=3)
    parser.add_argument("--longest", type=float, default=40.0, help="seconds between two kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Ledger:
    """What was seen of the study so far, and every promise that a later look found broken."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._finished: dict[int, str] = {}
        self._spent = 0.0

    def look(self, study: dict[str, Any]) -> None:
        """Compare the study as it is now with what was seen before."""
        finished, spent = complete(study), float(study["budget"]["spent"])
        self.problems += [
            f"trial {n} is gone or changed" for n, text in self._finished.items() if finished.get(n) != text
        ]
        if spent < self._spent:
            self.problems.append(f"the spent budget fell from {self._spent:.1f} to {spent:.1f}")
        self._finished, self._spent = finished, spent


def kill_once(arguments: list[str], target: str, draw: random.Random, longest: float) -> float:
    """Run the command for a random while, kill the target and then the driver; seconds until its family was gone."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(draw.uniform(8.0, longest))
    if target == "worker" and (worker := busiest_worker(process.pid)) is not None:
        worker.send_signal(signal.SIGKILL)
        time.sleep(draw.uniform(5.0, 15.0))
    family = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return wait_gone(family)


def main() -> int:
    chosen = options()
    draw, ledger = random.Random(chosen.seed), Ledger()
    storage = f"sqlite:///{tempfile.mkdtemp(prefix='resilience-')}/studies.db"
    arguments = command(
        *("search", "--dataset", chosen.dataset, "--budget", chosen.budget, "--runner", chosen.runner),
        *("--study", STUDY, "--storage", storage, "--seed", str(chosen.seed)),
    )
    plan = ["driver"] * chosen.driver_kills + ["worker"] * chosen.worker_kills
    draw.shuffle(plan)
    for target in plan:
        orphan_seconds = kill_once(arguments, target, draw, chosen.longest)
        if orphan_seconds > ORPHAN_SECONDS:
            ledger.problems.append(f"workers outlived their driver by {orphan_seconds:.0f} s")
        try:
            study = snapshot(storage)
        except subprocess.CalledProcessError:
            print(f"killed {target} before the study existed: there was nothing to lose yet", flush=True)
            continue
        arguments = command("resume", STUDY, "--storage", storage)
        ledger.look(study)
        spent = study["budget"]["spent"]
        print(
            f"killed {target}: {study['states']}, spent {spent:.2f}, family gone after {orphan_seconds:.1f} s",
            flush=True,
        )
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    study = snapshot(storage)
    ledger.look(study)
    ledger.problems += [
        f"{n} trials are left {s}" for s, n in study["states"].items() if s in ("running", "paused") and n
    ]
    share = float(study["budget"]["spent"]) / float(study["budget"]["limit"])
    print(f"at the end: {study['states']}, spent {share:.1%} of the limit, {len(study['front'])} finalists")
    print("\n".join(ledger.problems) or "all checks hold")
    return 1 if ledger.problems else 0


if __name__ == "__main__":
    sys.exit(main())
