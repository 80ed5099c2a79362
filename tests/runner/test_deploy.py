"""Int8 trials, latencies by shape, and deployments: real networks, tiny ones."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd.core.job import Job, Outcome, Progress, TrialSpec
from autokd.deploy.gate import load_predictions
from autokd.deploy.latency import Timing
from autokd.deploy.machine import timing_machine
from autokd.deploy.runtimes import open_runtime
from autokd.measure.metrics import find_metric
from autokd.runner import run_job
from autokd.runner.watch import Watch
from autokd.runner.workspace import Workspace
from autokd.testing.tiny import TINY_PIPELINE, tiny_job, tiny_spec

pytest.importorskip("onnxruntime")

SPEC = "batch=2,length=12,threads=1,runtime=onnx"


def ignore(progress: Progress) -> None:
    """Nobody listens."""


def run(job: Job) -> Outcome:
    outcome = run_job(job, ignore)
    assert outcome.state == "complete", outcome.error + outcome.trace
    return outcome


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose cache holds the tiny teacher."""
    root = tmp_path_factory.mktemp("tiny")
    run(tiny_job(root, tiny_spec(root), "prefix"))
    return root


def spec_of(place: Path, form: str) -> TrialSpec:
    return tiny_spec(place, {**TINY_PIPELINE, "form": form})


@pytest.fixture(scope="module")
def small(place: Path) -> tuple[Job, Outcome]:
    """A finished int8 trial whose test split was opened."""
    job = tiny_job(place, spec_of(place, "onnx-int8"), "confirm", name="int8")
    return job, run(job)


@pytest.fixture(scope="module")
def deployed(place: Path) -> tuple[Job, Outcome]:
    """A float trial that was deployed."""
    job = tiny_job(place, spec_of(place, "float32"), "confirm", name="float")
    run(job)
    deploying = replace(job, id="deploy-1", kind="deploy", latency=SPEC)
    return deploying, run(deploying)


def test_an_int8_trial_is_scored_in_int8_and_remembers_its_float_score(small: Any) -> None:
    job, outcome = small
    folder = Path(job.folder)
    assert {path.name for path in folder.iterdir() if path.is_dir()} >= {"checkpoint", "onnx-int8", "predictions"}
    assert not (folder / "onnx").exists()
    ships = folder / "onnx-int8"
    assert outcome.values["size_bytes"] == sum(path.stat().st_size for path in ships.iterdir())
    workspace = Workspace(job.spec, None)  # type: ignore[arg-type] - nothing runs on it
    for split in ("valid", "test"):
        rows = workspace.tokenised(getattr(workspace.task, split), str(folder / "checkpoint"))
        logits = open_runtime("onnx-int8", ships).logits(rows)
        kept, labels = load_predictions(outcome.predictions[split])
        np.testing.assert_array_equal(kept, logits)
        assert outcome.values[f"{split}_score"] == find_metric("accuracy").score(logits, labels)
    assert 0 <= outcome.values["float_valid_score"] <= 1
    assert Path(outcome.checkpoint).name == "checkpoint"


def test_shape_and_form_name_what_speed_depends_on(small: Any, deployed: Any) -> None:
    assert small[1].shape
    trial = json.loads((Path(deployed[0].folder) / "trained.json").read_text())
    assert trial["shape"] not in ("", small[1].shape)
    key, _, method = small[1].shape.partition(":")
    assert method in ("dynamic", "static")
    assert (key, method) != (trial["shape"], "")
    assert ":" not in trial["shape"]


def test_a_deployment_scores_and_times_every_form(deployed: Any) -> None:
    job, outcome = deployed
    values, folder = outcome.values, Path(job.folder)
    runtimes = {name.partition("/")[0] for name in values if "/" in name}
    assert {"onnx", "onnx-int8", "torch"} <= runtimes
    for runtime in runtimes:
        assert 0 < values[f"{runtime}/latency_ms"] <= values[f"{runtime}/latency_p90_ms"]
        assert values[f"{runtime}/size_bytes"] > 0
        for split in ("valid", "test"):
            logits, labels = load_predictions(folder / "predictions" / f"{split}-{runtime}.safetensors")
            assert values[f"{runtime}/{split}_score"] == find_metric("accuracy").score(logits, labels)
    trial = json.loads((folder / "confirm.result.json").read_text())["values"]
    for split in ("valid", "test"):
        assert values[f"torch/{split}_score"] == values[f"onnx/{split}_score"] == trial[f"{split}_score"]
    assert values["latency_ms"] == values["onnx/latency_ms"]
    assert values["speedup"] == pytest.approx(values["teacher_latency_ms"] / values["latency_ms"])
    assert values["teacher_size_bytes"] > values["torch/size_bytes"] / 2


def test_a_deployed_checkpoint_has_its_card(deployed: Any) -> None:
    job, _ = deployed
    card = (Path(job.folder) / "checkpoint" / "README.md").read_text()
    assert "text-classification" in card
    assert "length=12" in card
    assert str(os.cpu_count()) + " core" in card


def test_a_deployment_that_was_stopped_goes_on(place: Path, deployed: Any) -> None:
    job, outcome = deployed
    (Path(job.folder) / "deploy.result.json").unlink()
    (Path(job.folder) / "stop").touch()
    assert run_job(job, ignore).state == "paused"
    (Path(job.folder) / "stop").unlink()
    made = (Path(job.folder) / "onnx" / "model.onnx").stat().st_mtime_ns
    again = run(job)
    assert (Path(job.folder) / "onnx" / "model.onnx").stat().st_mtime_ns == made
    assert again.values["onnx/test_score"] == outcome.values["onnx/test_score"]


def test_a_deployment_ends_at_its_deadline_whatever_it_is_at(place: Path, deployed: Any) -> None:
    job, _ = deployed
    (Path(job.folder) / "deploy.result.json").unlink(missing_ok=True)
    (Path(job.folder) / "deploy.scores.json").unlink(missing_ok=True)
    looks = iter(range(1000))

    class Late(Watch):
        def should_pause(self) -> bool:
            return next(looks) > 5  # in the midst of scoring

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autokd.runner.deploy.Watch", Late)
        stopped = run_job(job, ignore)
    assert stopped.state == "paused"
    assert not (Path(job.folder) / "deploy.result.json").exists()
    assert run(job).values["torch/test_score"] == deployed[1].values["torch/test_score"]


def test_latencies_of_another_machine_are_measured_anew(deployed: Any) -> None:
    job, outcome = deployed
    path = Path(job.folder) / "deploy.result.json"
    run(job)
    known = json.loads(path.read_text())
    assert run(job).seconds == known["seconds"]  # as it was
    assert known["timed_on"] == timing_machine() == outcome.timed_on
    path.write_text(json.dumps({**known, "timed_on": "another machine", "values": {}}))
    again = run(job)
    assert again.timed_on == timing_machine()
    assert again.values["torch/test_score"] == outcome.values["torch/test_score"]


@pytest.mark.parametrize("settles", [True, False])
def test_timing_that_was_disturbed_is_made_once_more_and_told_if_it_stays_so(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, settles: bool
) -> None:
    spreads = iter([4.0, 1.1 if settles else 3.0])

    def measured(candidates: Any, **given: Any) -> dict[str, Timing]:
        spread = next(spreads)
        return {name: Timing(1.0, spread, 6) for name in candidates}

    monkeypatch.setattr("autokd.runner.bench.measure", measured)
    kept = Path(deployed[0].folder) / "latency.result.json"
    kept.unlink(missing_ok=True)
    found = run(replace(deployed[0], id="l", kind="latency", latency=SPEC))
    kept.unlink()
    told = [note for note in found.notes if "not to be trusted" in note]
    assert found.values["latency_p90_ms"] == (1.1 if settles else 3.0)
    assert len(told) == (0 if settles else 1)
    assert all("up to 3.0 times the median" in note for note in told)


@pytest.mark.parametrize(("runtime", "kind"), [("torch", "float"), ("onnx", "int8")])
def test_a_latency_is_that_of_the_trials_form_beside_its_teacher(
    place: Path, small: Any, deployed: Any, runtime: str, kind: str
) -> None:
    trial = deployed[0] if kind == "float" else small[0]
    job = replace(trial, id="l", kind="latency", latency=SPEC.replace("onnx", runtime))
    values = run(job).values
    assert set(values) >= {"latency_ms", "latency_p90_ms", "teacher_latency_ms", "speedup"}
    assert values["speedup"] == pytest.approx(values["teacher_latency_ms"] / values["latency_ms"])


def test_a_machine_without_onnx_deploys_in_torch(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autokd.deploy import folders
    from autokd.runner import deploy

    missing = "the ONNX forms need onnxruntime"
    monkeypatch.setattr(folders, "onnx_missing", lambda: missing)
    monkeypatch.setattr(deploy, "onnx_missing", lambda: missing)
    job = tiny_job(place, spec_of(place, "float32"), "confirm", name="bare")
    run(job)
    outcome = run(replace(job, kind="deploy", latency=SPEC))
    assert not any(name.startswith("onnx") for name in outcome.values)
    assert outcome.values["latency_ms"] == outcome.values["torch/latency_ms"]
    assert missing in outcome.notes
