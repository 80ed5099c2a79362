"""The frontier as a terminal shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autokd.cli.output import print_front
from autokd.core.record import Finalist, Teacher, TrialRecord
from autokd.core.result import StudyResult
from autokd.core.settings import DataSource, StudySettings

SETTINGS = StudySettings(
    "s", DataSource("d"), "task", "d", "accuracy", "basics", "", ("t",), {}, "1cpu-h", latency_length=41
)
EXPERTS = Finalist(3, {"stages": []}, 0.8, 0.79, 0.7, 0.85, 17e6, 3e7, "/c", 1)


def shown(capsys: pytest.CaptureFixture[str], finalist: Finalist, **values: float) -> str:
    trial = TrialRecord(3, "complete", "search", {"stages": []}, values={"params": 17e6, **values})
    teacher = Teacher("t", 0.85, 0.84, 22e6, 1e8)
    print_front(StudyResult(SETTINGS, (trial,), teacher, (finalist,)))
    return capsys.readouterr().out


def test_active_parameters_stand_beside_stored_ones_where_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert "active" not in shown(capsys, EXPERTS, active_params=17e6)
    told = shown(capsys, EXPERTS, active_params=9e6).splitlines()
    assert "active" in told[0]
    assert told[2].split()[-3:] == ["17M", "9M", "30M"]


def test_latencies_name_their_machine(capsys: pytest.CaptureFixture[str]) -> None:
    timed = replace(EXPERTS, latency_ms=2.0, timed_on="Some CPU, 2 cores; onnxruntime 1.31")
    told = shown(capsys, timed)
    assert "(41 tokens) on Some CPU, 2 cores; onnxruntime 1.31" in told
