from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autokd.cli.planning import print_plan
from autokd.study.dry_run import Plan
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]
PIPELINE = {"stages": [{"use": "basics:Distil", "epochs": 1}, {"use": "basics:Rewind"}], "form": "float32"}
PLAN = Plan(
    study="mine-1",
    dataset="mine",
    metric="accuracy",
    teachers=("minilm",),
    space="basics",
    device="cpu",
    workers=1,
    budget="10cpu-min",
    budget_seconds=600.0,
    stages=("basics:Distil", "basics:Rewind"),
    probe_seconds_per_mac=1e-12,
    teacher_seconds=60.0,
    cheapest_seconds=0.4,
    typical_seconds=30.0,
    dearest_seconds=90.0,
    confirm_seconds=200.0,
    deploy_seconds=150.0,
    n_trials=5,
    disk_bytes=2e9,
    memory_bytes=1e9,
    pipelines=(PIPELINE, {**PIPELINE, "stages": [{**PIPELINE["stages"][0], "epochs": 2}]}),
    notes=("a note",),
)


def test_a_plan_reads_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(PLAN)
    out, err = capsys.readouterr()
    assert "budget 10cpu-min for 1 worker on cpu" in out
    assert "cheapest trial        0.4 s" in out
    assert "disk: about 2 GB; memory of all workers: about 1 GB" in out
    assert "  2. Distil epochs=2" in out
    assert err.splitlines() == ["note: a note", "Nothing was written. Leave out --dry-run to search."]


def test_a_teacher_that_is_only_evaluated_is_not_said_to_be_fine_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(PLAN)
    assert "fine-tuned once" in capsys.readouterr().out
    print_plan(replace(PLAN, teacher_seconds=0.0))
    assert "already fine-tuned" in capsys.readouterr().out


def test_a_dry_run_plans_and_writes_nothing(autokd: Autokd, workplace: Path, tmp_path: Path) -> None:
    storage = tmp_path / "none" / "studies.db"
    ran = autokd(
        "search", "--dataset", "mine.csv", "--teacher", "teacher", "--space", "small.yaml", "--budget", "1cpu-min",
        "--runner", "pool", "--workers", "1", "--storage", f"sqlite:///{storage}", "--dry-run", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json["stages"] == ["basics:FineTuneTeacher", "basics:TruncateLayers", "basics:Distil"]
    assert 0 < ran.json["cheapest_seconds"] <= ran.json["typical_seconds"] <= ran.json["dearest_seconds"]
    assert ran.json["pipelines"]
    assert not storage.parent.exists()


def test_a_budget_without_room_for_a_trial_is_said_in_one_line(autokd: Autokd, workplace: Path, tmp_path: Path) -> None:
    ran = autokd(
        "search", "--dataset", "mine.csv", "--teacher", "teacher", "--space", "small.yaml", "--budget", "0.0001cpu-min",
        "--runner", "pool", "--workers", "1", "--storage", f"sqlite:///{tmp_path / 'none.db'}", "--dry-run", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json["n_trials"] == 0
    assert sum("holds no trial" in note for note in ran.json["notes"]) == 1
    assert not any("because the budget does not hold them" in note for note in ran.json["notes"])
