"""One trial from JSON to a measured record: repeats, resumes, shares its prefix, and is admitted from disk."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from autokd.core.job import Job, Outcome, Progress
from autokd.methods.stark import SparsifyTeacher
from autokd.runner import prefix_key, prefix_ready, run_job
from autokd.runner.watch import Watch
from autokd.testing.tiny import TINY_PIPELINE, tiny_job, tiny_regression, tiny_spec, tiny_task


def ignore(progress: Progress) -> None:
    """Nobody listens."""


def run(job: Job) -> Outcome:
    outcome = run_job(job, ignore)
    assert outcome.state == "complete", outcome.error + outcome.trace
    return outcome


def with_stages(*stages: dict[str, Any]) -> dict[str, Any]:
    teacher, student, *_ = TINY_PIPELINE["stages"]
    return {"stages": [teacher, student, *stages], "form": "float32"}


def weights(outcome: Outcome) -> dict[str, np.ndarray]:
    return load_file(Path(outcome.checkpoint) / "model.safetensors")


def assert_same_weights(left: Outcome, right: Outcome) -> None:
    a, b = weights(left), weights(right)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def spec(tmp_path: Path):
    spec = tiny_spec(tmp_path)
    run(tiny_job(tmp_path, spec, "prefix"))
    return spec


HARD_STAGE = {
    "use": "basics:Distil",
    "epochs": 3,
    "objectives": [
        {"use": "basics:Logits"},
        {"use": "basics:HiddenMSE"},
        {"use": "mi_alpha:MutualInformation", "alpha": 0.5},
    ],
    "hooks": [{"use": "basics:MagnitudePruning", "sparsity": 0.5}],
    "augmenters": [{"use": "basics:Mixup"}],
}


def test_a_trial_is_measured_on_what_was_saved(tmp_path: Path, spec) -> None:
    outcome = run(tiny_job(tmp_path, spec))
    counts = {"params", "active_params", "nonzero_params"}
    assert set(outcome.values) == {"valid_score", "macs", "size_bytes", *counts}
    stored = load_file(Path(outcome.checkpoint) / "model.safetensors")
    assert outcome.values["params"] == sum(tensor.size for tensor in stored.values())
    assert 0 <= outcome.values["valid_score"] <= 1
    assert outcome.seconds_alone > 0
    assert len(outcome.curve) == 2


def test_only_confirmed_jobs_open_the_test_split(tmp_path: Path, spec) -> None:
    job = tiny_job(tmp_path, spec)
    assert "test" not in run(job).predictions
    confirmed = run(replace(job, kind="confirm"))
    assert 0 <= confirmed.values["test_score"] <= 1
    assert confirmed.values["valid_score"] == run(job).values["valid_score"]
    assert set(load_file(confirmed.predictions["test"])) == {"logits", "labels"}


def test_equal_specs_give_equal_weights(tmp_path: Path, spec) -> None:
    assert_same_weights(run(tiny_job(tmp_path, spec, name="a")), run(tiny_job(tmp_path, spec, name="b")))


def test_seeds_and_replicates_give_others(tmp_path: Path, spec) -> None:
    first = weights(run(tiny_job(tmp_path, spec, name="a")))
    second = weights(run(tiny_job(tmp_path, replace(spec, replicate=1), name="b")))
    assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_a_cold_cache_equals_a_warm_one(tmp_path: Path, spec) -> None:
    warm = run(tiny_job(tmp_path, spec, name="warm"))
    cold_spec = replace(spec, cache=str(tmp_path / "other-cache"))
    run(tiny_job(tmp_path, cold_spec, "prefix", name="cold-prefix"))
    assert_same_weights(warm, run(tiny_job(tmp_path, cold_spec, name="cold")))


@pytest.mark.parametrize("stage", [{"use": "basics:Distil", "epochs": 3}, HARD_STAGE], ids=["plain", "hard"])
def test_a_trial_stopped_again_and_again_equals_one_that_ran_through(
    tmp_path: Path, spec, stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(spec, pipeline=with_stages(stage))
    whole = run(tiny_job(tmp_path, spec, name="whole"))
    asked = count(1)
    monkeypatch.setattr(Watch, "should_pause", lambda self: next(asked) % 3 == 0)  # two steps in each sitting
    pauses = 0
    while (outcome := run_job(tiny_job(tmp_path, spec, name="parts"), ignore)).state == "paused":
        pauses += 1
        assert pauses < 200
    assert outcome.state == "complete", outcome.error
    assert pauses >= 2
    assert_same_weights(whole, outcome)
    assert [point["score"] for point in outcome.curve] == [point["score"] for point in whole.curve]


def test_a_stop_file_pauses_and_its_removal_lets_go_on(tmp_path: Path, spec) -> None:
    job = tiny_job(tmp_path, spec)
    Path(job.folder).mkdir(parents=True)
    stop = Path(job.folder) / "stop"
    stop.touch()
    assert run_job(job, ignore).state == "paused"
    stop.unlink()
    run(job)


def test_stark_at_sparsity_0_is_plain_distillation(tmp_path: Path, spec) -> None:
    distil = {"use": "basics:Distil", "epochs": 2}
    stark = [distil, {"use": "stark:SparsifyTeacher", "share": 0.0}, {"use": "basics:Rewind"}, distil]
    plain = run(tiny_job(tmp_path, replace(spec, pipeline=with_stages(distil)), name="plain"))
    sparse = run(tiny_job(tmp_path, replace(spec, pipeline=with_stages(*stark)), name="stark"))
    assert_same_weights(plain, sparse)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_stark_with_a_sparse_teacher_runs_and_differs(tmp_path: Path, spec, share: float) -> None:
    distil = {"use": "basics:Distil", "epochs": 1}
    stark = [distil, {"use": "stark:SparsifyTeacher", "share": share}, {"use": "basics:Rewind"}, distil]
    plain = run(tiny_job(tmp_path, replace(spec, pipeline=with_stages(distil)), name="plain"))
    sparse = run(tiny_job(tmp_path, replace(spec, pipeline=with_stages(*stark)), name="stark"))
    a, b = weights(plain), weights(sparse)
    assert any(not np.array_equal(a[name], b[name]) for name in a)


def test_a_finished_scan_is_not_made_again(tmp_path: Path, spec, monkeypatch: pytest.MonkeyPatch) -> None:
    distil = {"use": "basics:Distil", "epochs": 1}
    stages = [distil, {"use": "stark:SparsifyTeacher"}, {"use": "basics:Rewind"}, distil]
    job = tiny_job(tmp_path, replace(spec, pipeline=with_stages(*stages)))
    scans = []
    once = SparsifyTeacher.run
    monkeypatch.setattr(SparsifyTeacher, "run", lambda self, models, ctx: scans.append(1) or once(self, models, ctx))
    asked = count(1)
    monkeypatch.setattr(Watch, "should_pause", lambda self: bool(scans) and next(asked) % 7 == 0)
    while run_job(job, ignore).state == "paused":
        assert len(scans) == 1
    assert run_job(job, ignore).state == "complete"
    assert len(scans) == 1


def test_a_folder_serves_one_spec(tmp_path: Path, spec) -> None:
    run(tiny_job(tmp_path, spec))
    other = run_job(tiny_job(tmp_path, replace(spec, pipeline=with_stages(HARD_STAGE))), ignore)
    assert other.state == "failed"
    assert "holds the work of another" in other.error


def test_experts_pass_the_gate_with_their_own_class(tmp_path: Path, spec) -> None:
    stages = [{"use": "moebert:ToExperts", "experts": 2}, {"use": "basics:Distil", "epochs": 1}]
    outcome = run(tiny_job(tmp_path, replace(spec, pipeline=with_stages(*stages))))
    assert json.loads((Path(outcome.checkpoint) / "config.json").read_text())["model_type"] == "autokd"


def test_regression_and_pairs_run_alike(tmp_path: Path) -> None:
    for name, task in (("regression", tiny_regression()), ("pair", tiny_task(pair=True))):
        stage = {"use": "basics:Distil", "objectives": [{"use": "basics:Labels"}]}
        spec = tiny_spec(tmp_path, with_stages(stage), task=task)
        run(tiny_job(tmp_path, spec, "prefix", name=f"{name}-prefix"))
        assert -1 <= run(tiny_job(tmp_path, spec, name=name)).values["valid_score"] <= 1


def test_a_prefix_is_named_by_what_decides_its_content(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path)
    assert not prefix_ready(spec)
    run(tiny_job(tmp_path, spec, "prefix"))
    assert prefix_ready(spec)
    assert prefix_key(replace(spec, replicate=7)) == prefix_key(spec)
    assert prefix_key(replace(spec, pipeline=with_stages(HARD_STAGE))) == prefix_key(spec)
    assert prefix_key(replace(spec, seed=2)) != prefix_key(spec)
    assert prefix_key(replace(spec, precision="bfloat16")) != prefix_key(spec)
    assert prefix_key(tiny_spec(tmp_path, task=tiny_task(seed=9))) != prefix_key(spec)


def test_the_prefix_reports_the_teacher(tmp_path: Path) -> None:
    outcome = run(tiny_job(tmp_path, tiny_spec(tmp_path), "prefix"))
    assert {"valid_score", "test_score", "params", "macs"} <= set(outcome.values)


def test_a_probe_measures_seconds_per_mac(tmp_path: Path) -> None:
    assert run(tiny_job(tmp_path, tiny_spec(tmp_path), "probe")).values["seconds_per_mac"] > 0


def test_failures_are_outcomes_with_their_cause(tmp_path: Path, spec) -> None:
    explode = {"use": "basics:Distil", "optimizer": {"use": "basics:AdamW", "lr": 1e30}}
    failed = run_job(tiny_job(tmp_path, replace(spec, pipeline=with_stages(explode)), name="nan"), ignore)
    assert failed.state == "failed"
    assert "finite" in failed.error
    no_prefix = replace(spec, cache=str(tmp_path / "nothing"))
    failed = run_job(tiny_job(tmp_path, no_prefix, name="absent"), ignore)
    assert "must be made before" in failed.error
    unknown = replace(spec, pipeline={"stages": [{"use": "basics:Nothing"}]})
    assert "unknown class" in run_job(tiny_job(tmp_path, unknown, name="unknown"), ignore).error
