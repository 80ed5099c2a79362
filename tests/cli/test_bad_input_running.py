"""What goes wrong while something runs: in training, in a worker, with two drivers, with a clock."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autokd.cli import main
from autokd.core.job import Job, Outcome, Progress
from autokd.runner import run_job
from autokd.runner.watch import Watch
from autokd.store.study_store import StudyStore
from autokd.store.transfer import dump
from autokd.study.causes import LOST
from autokd.study.simulate import SimulatedRunner, VirtualClock
from tests.cli.conftest import Ran
from tests.cli.refusals import Refusal, check_kept, check_line, state, table
from tests.cli.small_study import STORAGE, STUDY, in_process, make_study
from tests.workplace import make_workplace

_TRAIN = "train --dataset mine.csv --teacher teacher --output {new}/student "

TRAINED = [
    Refusal("NaN loss", _TRAIN + "{bad}/explodes.json", ("loss must be finite", "step", "nan"), 1),
    *(
        Refusal(name, f"{_TRAIN} {{bad}}/{file}.json --methods {{bad}}/{file}.py", words, 1)
        for name, file, words in (
            ("NaN loss of a plug-in", "nan_loss", ("loss must be finite", "step 1 of")),
            ("plug-in that raises in training", "raises_in_training", ("raises_in_training.py, line", "IndexError")),
            ("plug-in that raises at build", "raises_at_build", ("raises_at_build.py, line", "KeyError: 'layer'")),
            ("plug-in that wants all memory", "hungry", ("out of memory", "tried to allocate")),
        )
    ),
    *(
        Refusal(name, f"{_TRAIN} {{bad}}/plain.json --metric {{bad}}/metrics.py:{function}", words, 1)
        for name, function, words in (
            ("metric that is NaN", "nan", ("finite number", "nan")),
            ("metric that raises", "fails", ("metrics.py", "division by zero")),
        )
    ),
]


@table(TRAINED)
def test_a_training_that_fails_says_why_in_one_line(case: Refusal, refused: Callable[[Refusal], None]) -> None:
    refused(case)


@pytest.mark.parametrize("data", ["long.csv", "many_classes.csv"])
def test_very_long_texts_and_500_classes_are_no_bad_input(
    data: str, kept: Path, bad: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["train", f"{bad}/plain.json", "--dataset", f"{bad}/{data}", "--teacher", "teacher", "--json"]
    with chdir(kept), pytest.raises(SystemExit) as ended:
        main([*command, "--output", str(tmp_path / "student")])
    out, err = capfd.readouterr()
    assert not ended.value.code, err
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert len(config["id2label"]) == (500 if data == "many_classes.csv" else 2)
    assert json.loads(out)["params"] > 0


# ---------------------------------------------------------------------------------------------- workers

_SEARCH = ["search", "--dataset", "mine.csv", "--teacher", "teacher", "--study", "first", "-q"]
_SEARCH += ["--runner", "pool", "--workers", "1"]
_FAILURES = {
    "nan": ("loss must be finite", "nan"),
    "raises": ("misbehaves.py, line", "ValueError: this one raises"),
    "hungry": ("out of memory",),
    "full": ("the disk is full",),
    "killed": ("SIGKILL", "out of memory"),
    "leaves": ("exit code 3",),
}


def test_trials_fail_alone_whatever_happens_in_their_workers(
    bad: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_workplace(tmp_path)
    plug_in = ["--space", f"{bad}/misbehaves.yaml", "--methods", f"{bad}/misbehaves.py"]
    ran = _run(tmp_path, [*_SEARCH, *plug_in, "--budget", "9trials"], capfd)
    check_line(ran.err, ("none of 6 trials could be completed",))
    assert (ran.code, ran.out) == (1, "")
    shown = _run(tmp_path, ["studies", "show", "first", "--json"], capfd)
    errors = {trial["pipeline"]["stages"][2]["objectives"][0]["behaviour"]: trial for trial in shown.json["trials"]}
    assert set(errors) == set(_FAILURES)
    for behaviour, words in _FAILURES.items():
        assert errors[behaviour]["state"] == "failed"
        assert all(word in errors[behaviour]["error"] for word in words), errors[behaviour]["error"]
        assert "\n" not in errors[behaviour]["error"]
    before = _trials(tmp_path)
    again = _run(tmp_path, ["resume", "first", "-q"], capfd)
    check_line(again.err, ("no trial could be confirmed", "0 of 6"))
    assert again.code == 1
    assert _trials(tmp_path) == before


# ---------------------------------------------------------------------------------------------- drivers and clocks


@pytest.mark.parametrize(
    "command",
    ["resume first --budget 9trials", "budget first --add 2trials", "studies delete first --yes",
     "studies export first --output {new}/x.zip"],
)  # fmt: skip
def test_a_study_has_one_driver_at_a_time(command: str, kept: Path, refused: Callable[[Refusal], None]) -> None:
    with chdir(kept), StudyStore.open(STORAGE, STUDY).lock():
        refused(Refusal("two drivers", command, ("'first' is being run by process", "one driver at a time"), 1))


def test_a_clock_that_goes_back_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_workplace(tmp_path)
    monkeypatch.setattr("autokd.store.study_store.datetime", _Backwards)
    monkeypatch.setattr("autokd.study.study.make_runner", lambda settings, places: in_process())
    ran = _run(tmp_path, [*_SEARCH, "--space", "small.yaml", "--budget", "2trials", "--json"], capfd)
    assert ran.code == 0, ran.err
    assert ran.json["states"]["running"] == 0
    shown = _run(tmp_path, ["studies", "show", "first", "--json"], capfd).json
    assert [trial["number"] for trial in shown["trials"]] == list(range(len(shown["trials"])))
    assert all(trial["state"] == "complete" and trial["device_seconds"] > 0 for trial in shown["trials"])
    assert _run(tmp_path, ["report", "first"], capfd).code == 0


class _Backwards(datetime):
    """Each look at the clock finds it an hour earlier."""

    _hours = itertools.count()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) - timedelta(hours=next(cls._hours))


# ---------------------------------------------------------------------------------------------- half a file


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace with a finished study of its own, to break."""
    folder = tmp_path_factory.mktemp("broken")
    make_workplace(folder)
    with chdir(folder):
        make_study()
    return folder


def test_half_a_checkpoint_is_not_exported(broken: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = Path(_run(broken, ["studies", "show", "first", "--json"], capfd).json["front"][0]["checkpoint"])
    _halve(checkpoint / "model.safetensors")
    before = state(broken)
    for form in ("hf", "onnx"):
        ran = _run(broken, ["export", "first", "--format", form, "--output", f"new-{form}"], capfd)
        check_line(ran.err, (str(checkpoint), "cannot be loaded"))
        assert (ran.code, ran.out) == (1, "")
        assert not (broken / f"new-{form}").exists()
    check_kept(before, broken)
    shutil.rmtree(checkpoint)
    ran = _run(broken, ["export", "first", "--output", "new"], capfd)
    check_line(ran.err, (str(checkpoint), "it is gone", "autokd train"))
    assert ran.code == 1


def test_half_a_teacher_fails_new_trials_and_keeps_the_old_ones(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (weights,) = broken.glob("studies/autokd.db.files/cache/prefixes/*/teacher/weights.safetensors")
    _halve(weights)
    before = _trials(broken)
    monkeypatch.setattr("autokd.study.study.make_runner", lambda settings, places: in_process())
    ran = _run(broken, ["resume", "first", "--budget", "4trials", "-q"], capfd)
    assert "Traceback" not in ran.err
    after = _trials(broken)
    assert after[: len(before)] == before
    new = [trial for trial in after[len(before) :] if trial["user"]["role"] in ("search", "random")]
    assert new
    assert all(
        "no readable slot" in trial["user"]["error"] and str(weights.parent) in trial["user"]["error"] for trial in new
    )


def test_half_a_state_of_training_fails_its_trial_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_workplace(tmp_path)
    with chdir(tmp_path), pytest.raises(_DeathError):
        make_study(SimulatedRunner(1, VirtualClock(), _paused_after_an_epoch))
    (tensors,) = tmp_path.glob("studies/autokd.db.files/studies/*/trials/0/loop-2/tensors-*.safetensors")
    _halve(tensors)
    monkeypatch.setattr("autokd.study.study.make_runner", lambda settings, places: in_process())
    ran = _run(tmp_path, ["resume", "first", "-q", "--json"], capfd)
    assert ran.code == 0, ran.err
    trials = _run(tmp_path, ["studies", "show", "first", "--json"], capfd).json["trials"]
    failed = {trial["number"]: trial["error"] for trial in trials if trial["state"] == "failed"}
    error = failed.pop(0)
    assert all(word in error for word in ("state", "damaged", str(tensors.parent)))
    assert all(error.startswith(LOST) for error in failed.values())


class _DeathError(Exception):
    """The driver is gone from one moment to the next."""


def _paused_after_an_epoch(job: Job) -> Outcome:
    if job.kind != "trial":
        return run_job(job, lambda progress: None)
    if job.id != "trial-0":
        raise _DeathError
    seen: list[Progress] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Watch, "should_pause", lambda watch: bool(seen))
        return run_job(job, seen.append)


def _trials(folder: Path) -> list[dict[str, Any]]:
    """All that the storage holds of the study's trials."""
    with chdir(folder):
        found: list[dict[str, Any]] = dump(STORAGE, STUDY)["trials"]
    return found


def _halve(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def _run(folder: Path, command: list[str], capfd: pytest.CaptureFixture[str]) -> Ran:
    """What a command printed in a folder."""
    capfd.readouterr()
    with chdir(folder), pytest.raises(SystemExit) as ended:
        main(command)
    out, err = capfd.readouterr()
    return Ran(int(ended.value.code or 0), out, err)
