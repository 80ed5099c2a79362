"""Commands that are killed: nothing half-written is left under a name that anybody trusts, and all can be repeated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autokd.cli import main
from autokd.study.result import read_result
from tests.cli.conftest import Ran
from tests.cli.small_study import STUDY
from tests.workplace import make_workplace

Autokd = Callable[..., Ran]

# Ends this process in the middle of a command: before or after its first call of MODULE.FUNCTION.
KILLED = """
import os, signal, sys
from importlib import import_module
where, when, *arguments = sys.argv[1:]
module, _, name = where.rpartition(".")
home = import_module(module)
whole = getattr(home, name)
def killed(*given, **named):
    if when == "after":
        whole(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
if when != "never":
    setattr(home, name, killed)
"""
COMMAND = KILLED + "\nfrom autokd.cli import main\nmain(arguments)\n"


def killed(folder: Path, program: str, where: str, when: str, *arguments: str) -> None:
    """Run a program in a folder; it must be killed where the test says so."""
    run = started(folder, program, where, when, *arguments)
    assert run.returncode == -signal.SIGKILL, run.stderr


def started(folder: Path, program: str, where: str, when: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program, where, when, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture
def finished(kept: Path, tmp_path: Path) -> Path:
    """A workplace of this test's own with a finished study."""
    return Path(shutil.copytree(kept, tmp_path / "finished"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Autokd:
    """Runs a command in the folder that comes first."""

    def run(folder: Path, *arguments: str) -> Ran:
        monkeypatch.chdir(folder)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


HF = [("autokd.deploy.export._write", "after"), ("autokd.deploy.export._compare", "after")]
ONNX = [("autokd.deploy.onnx_export._write_graph", "after"), ("autokd.deploy.export._compare", "after")]


@pytest.mark.parametrize(
    ("form", "where", "when"),
    [
        *(pytest.param("hf", *place, id=f"hf-{place[0].rpartition('.')[2]}") for place in HF),
        *(
            pytest.param("onnx", *place, id=f"onnx-{place[0].rpartition('.')[2]}", marks=pytest.mark.slow)
            for place in ONNX
        ),
    ],
)
def test_an_export_that_is_killed_leaves_no_folder_of_its_name(
    finished: Path, command: Autokd, form: str, where: str, when: str
) -> None:
    arguments = ("export", STUDY, "--format", form, "--output", "student")
    killed(finished, COMMAND, where, when, *arguments)
    assert not (finished / "student").exists()
    ran = command(finished, *arguments, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["worst_difference"] < 1e-4
    assert command(finished, "evaluate", "student", "--dataset", "mine.csv").code == 0


@pytest.mark.parametrize(
    ("where", "when"),
    [
        pytest.param("autokd.runner.trial._measure", "before", marks=pytest.mark.slow),
        pytest.param("autokd.runner.trial._keep", "before", marks=pytest.mark.slow),
        pytest.param("autokd.distiller._student", "before"),
    ],
)
def test_a_training_that_is_killed_leaves_no_student_and_goes_on(
    finished: Path, command: Autokd, where: str, when: str
) -> None:
    pipeline = read_result(f"sqlite:///{finished}/studies/autokd.db", STUDY).front[0].pipeline
    (finished / "pipeline.json").write_text(json.dumps(pipeline))
    arguments = ("train", "pipeline.json", "--dataset", "mine.csv", "--output", "student")
    killed(finished, COMMAND, where, when, *arguments)
    assert not (finished / "student").exists()
    ran = command(finished, *arguments, "--json")
    assert ran.code == 0, ran.err
    assert (finished / "student" / "config.json").is_file()
    assert not list(finished.glob(".student*"))


@pytest.mark.slow
def test_a_training_that_is_killed_once_its_student_is_in_place_can_be_repeated(
    finished: Path, command: Autokd
) -> None:
    pipeline = read_result(f"sqlite:///{finished}/studies/autokd.db", STUDY).front[0].pipeline
    (finished / "pipeline.json").write_text(json.dumps(pipeline))
    arguments = ("train", "pipeline.json", "--dataset", "mine.csv", "--output", "student")
    killed(finished, COMMAND, "autokd.cli.train._put_in_place", "after", *arguments)
    assert command(finished, "evaluate", "student", "--dataset", "mine.csv").code == 0
    assert "must be new or empty" in command(finished, *arguments).err
    shutil.rmtree(finished / "student")
    assert command(finished, *arguments).code == 0
    assert (finished / "student" / "config.json").is_file()


SEARCH = (
    KILLED
    + """
from pathlib import Path
from autokd.core.settings import DataSource
from autokd.runner import bench, deploy, run_job
from autokd.store.study_store import StudyStore
from autokd.study.prepare import Request, prepare
from autokd.study.simulate import SimulatedRunner, VirtualClock
from autokd.study.study import run
bench.SECONDS = deploy.SECONDS = 0.2
storage = "sqlite:///studies/autokd.db"
if not Path("studies/autokd.db").exists():
    request = Request(DataSource("mine.csv"), "2trials", "teacher", "small.yaml", study="first", workers=1,
                      runner="pool")
    prepared = prepare(request)
    StudyStore.create(storage, prepared.settings, prepared.space.holes)
runner = SimulatedRunner(1, VirtualClock(), lambda job: run_job(job, lambda progress: None))
run(StudyStore.open(storage, "first"), runner=runner)
"""
)
GATE = [
    ("autokd.runner.prefix._write", "before"),
    ("autokd.deploy.gate.save_pretrained", "after"),
    ("autokd.deploy.gate.save_file", "after"),
    ("autokd.runner.trial._keep", "before"),
    ("autokd.runner.trial._open_test", "after"),
    ("autokd.deploy.onnx_export._write_graph", "after"),
    ("autokd.deploy.forms.export_onnx", "after"),
    ("autokd.deploy.quantize.write_int8", "after"),
    ("autokd.runner.deploy.write_json", "before"),
    ("autokd.runner.deploy.write_card", "before"),
    ("autokd.study.finish.interval", "before"),
]


@pytest.mark.slow
def test_a_search_that_is_killed_all_through_its_gates_ends_with_what_its_records_say(
    tmp_path: Path, command: Autokd
) -> None:
    pytest.importorskip("onnxruntime")
    make_workplace(tmp_path)
    for where, when in GATE:
        killed(tmp_path, SEARCH, where, when)
    done = started(tmp_path, SEARCH, *GATE[0][:1], "never")
    assert done.returncode == 0, done.stderr
    study = read_result(f"sqlite:///{tmp_path}/studies/autokd.db", STUDY)
    assert study.finished
    assert study.states["running"] == study.states["paused"] == 0
    forms = [form for finalist in study.front for form in finalist.forms]
    assert {"onnx", "onnx-int8", "torch"} <= {form.runtime for form in forms}
    for form in forms:
        given = ("--dataset", "mine.csv", "--runtime", form.runtime, "--json")
        for split, wanted in (("valid", form.valid_score), ("test", form.test_score)):
            ran = command(tmp_path, "evaluate", form.folder, *given, "--split", split)
            assert ran.code == 0, ran.err
            assert ran.json["score"] == pytest.approx(wanted, abs=1e-9)
