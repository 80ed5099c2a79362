"""What orchestration costs: 100 trials that do nothing, 2 workers, durable storage, under each runner.

    python studies/orchestration/run.py [--trials 100] [--repeats 3] [--output results.json]

A trial's overhead is the wall time from the start of the first search trial to the end of the last one, divided by
their number: proposal, storage, hand-over, answer, storage. Start-up of workers and of Ray is reported apart. For
comparison plain Ray Tune runs as many empty trials, with and without kept workers, and without any storage.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from autokd.study import machine
from autokd.study.places import Places
from autokd.study.pool import PoolRunner
from autokd.study.ray_tune import RayRunner, quiet
from autokd.study.study import Runner, drive
from autokd.study.view import StudyView
from autokd.testing.toy import ToyAppraiser, toy_interval, toy_settings, toy_store
from autokd.testing.toy_work import WORK

WORKERS = 2


class Stopwatch:
    """Notes when the first search trial started and when the last one ended, from what the study tells."""

    def __init__(self, n_trials: int) -> None:
        self._n_trials = n_trials
        self.began = time.perf_counter()
        self.cpu_began = time.process_time()
        self.first = self.last = self.cpu_first = self.cpu_last = 0.0

    def __call__(self, view: StudyView) -> None:
        if not self.first and view.counts["running"]:
            self.first, self.cpu_first = time.perf_counter(), time.process_time()
        if not self.last and view.counts["complete"] >= self._n_trials:
            self.last, self.cpu_last = time.perf_counter(), time.process_time()


def study_overhead(make: Callable[[Places], Runner], n_trials: int, storage: str) -> dict[str, float]:
    """Seconds of one toy study whose jobs do nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = toy_settings("overhead", folder, f"{n_trials}trials", workers=WORKERS)
        store = toy_store(storage.format(folder=folder), settings)
        places = Places(store.files, "overhead")
        watch = Stopwatch(n_trials)
        with store.lock():
            drive(store, ToyAppraiser(settings, places.cache), make(places), toy_interval, watch)
        return {
            "start_up_seconds": watch.first - watch.began,
            "seconds_per_trial": (watch.last - watch.first) / n_trials,
            "driver_cpu_seconds_per_trial": (watch.cpu_last - watch.cpu_first) / n_trials,
        }


def plain_tune(n_trials: int, *, reuse_actors: bool) -> dict[str, float]:
    """Seconds per empty trial of Ray Tune by itself, start-up of Ray left out."""
    import ray
    from ray import tune

    class Empty(tune.Trainable):  # type: ignore[misc]
        def step(self) -> dict[str, Any]:
            return {"done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    with quiet(), tempfile.TemporaryDirectory() as folder:
        ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        tuner = tune.Tuner(
            Empty,
            tune_config=tune.TuneConfig(num_samples=n_trials, reuse_actors=reuse_actors),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
            ),
        )
        began = time.perf_counter()
        tuner.fit()
        seconds = time.perf_counter() - began
        ray.shutdown()
    return {"seconds_per_trial": seconds / n_trials}


def measure(n_trials: int, n_repeats: int) -> dict[str, Any]:
    """Every arm, interleaved: what the machine does meanwhile hits all of them."""
    sqlite = "sqlite:////{folder}/studies.db"
    arms: dict[str, Callable[[], dict[str, float]]] = {
        "pool, SQLite": lambda: study_overhead(lambda p: PoolRunner(WORKERS, p, work=WORK), n_trials, sqlite),
        "pool, journal": lambda: study_overhead(
            lambda p: PoolRunner(WORKERS, p, work=WORK), n_trials, "{folder}/studies.journal"
        ),
        "Ray, SQLite": lambda: study_overhead(lambda p: RayRunner(p, WORK), n_trials, sqlite),
        "plain Ray Tune, workers kept": lambda: plain_tune(n_trials, reuse_actors=True),
        "plain Ray Tune, new workers": lambda: plain_tune(max(n_trials // 5, 4), reuse_actors=False),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for _ in range(n_repeats):
        for name, run in arms.items():
            found[name].append(run())
            print(name, {key: round(value, 4) for key, value in found[name][-1].items()}, flush=True)
    return {
        "trials": n_trials,
        "workers": WORKERS,
        "cores": machine.cores(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "arms": {
            name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()
        },
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    found = measure(options.trials, options.repeats)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    for name, medians in found["arms"].items():
        print(f"{name:32} {1000 * medians['seconds_per_trial']:8.1f} ms per trial")


if __name__ == "__main__":
    main()
