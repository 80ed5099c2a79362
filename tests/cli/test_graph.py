"""A whole search on a graph, by the command line alone: found, confirmed, timed, reported, and what is done with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd.cli import main
from autokd.core.settings import DataSource
from autokd.study.prepare import Request, prepare
from tests.cli.conftest import Ran
from tests.workplace import make_workplace

SPACE = """
stages:
  - {use: graph:TrainTeacher, hidden: 16, epochs: 40, optimizer: {use: basics:AdamW, lr: 0.02}}
  - name: student
    pick:
      gcn: {use: graph:GcnStudent, hidden: {name: hidden, pick: [4, 8]}}
      mlp: {use: graph:MlpStudent, hidden: 8}
  - use: basics:Distil
    objectives: [{name: objective, pick: {logits: {use: basics:Logits}, labels: {use: basics:Labels}}}]
    sampler: {name: sampler, pick: {full: null, thanos: {use: thanos:Thanos, k: 3}}}
    optimizer: {use: basics:AdamW, lr: 0.02}
    epochs: 10
    batch_size: 64
form: float32
"""
DATA = "csbm:n=120,features=20,feature_signal=40,edge_signal=2"
SEARCH = ("search", "--dataset", DATA, "--space", "small.yaml", "--workers", "1")
PIPELINE = {
    "stages": [
        {"use": "graph:TrainTeacher", "hidden": 8, "epochs": 10},
        {"use": "graph:GcnStudent", "hidden": 4},
        {"use": "basics:Distil", "epochs": 5, "sampler": {"use": "thanos:BanditSampler"}},
    ]
}
Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    make_workplace(folder)
    (folder / "small.yaml").write_text(SPACE)
    (folder / "pipeline.json").write_text(json.dumps(PIPELINE))
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> Ran:
    """A search with the pool's workers, latency among its objectives."""
    command = [
        *(sys.executable, "-c", "from autokd.cli import main; main()", *SEARCH, "--budget", "3trials", "--study", "it"),
        *("--runner", "pool", "--objectives", "score,macs,latency", "--json", "-q"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    return Ran(run.returncode, run.stdout, run.stderr)


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def ran(*arguments: str) -> Ran:
        monkeypatch.chdir(place)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return ran


def test_a_search_ends_with_students_and_both_controls(found: Ran) -> None:
    assert found.code == 0, found.err
    told = found.json
    assert told["states"]["failed"] == 0
    assert told["teacher"]["name"] == "graph:TrainTeacher"
    assert {control["name"] for control in told["controls"]} == {"fine-tune", "logits"}
    for each in (*told["front"], *told["controls"]):
        assert each["test_low"] <= each["test_score"] <= each["test_high"]
    for each in told["front"]:
        assert [form["runtime"] for form in each["forms"]] == ["torch"]
        assert each["latency_ms"] > 0
        assert each["speedup"] > 0
    labels = next(control for control in told["controls"] if control["name"] == "fine-tune")
    samples = [stage for stage in labels["pipeline"]["stages"] if stage["use"] == "basics:Distil"]
    assert all(stage["sampler"] is None for stage in samples)


def test_costs_are_those_in_closed_form(found: Ran) -> None:
    for each in found.json["front"]:
        student = each["pipeline"]["stages"][1]
        width, reads = student["hidden"], student["use"] == "graph:GcnStudent"
        assert each["params"] == 21 * width + 2 * (width + 1)
        own = 20 * width + 2 * width
        assert each["macs"] > own + 3 * (width + 2) if reads else each["macs"] == own


def test_the_report_speaks_of_nodes(found: Ran) -> None:
    page = Path(found.json["report"]).read_text(encoding="utf-8")
    assert "nodes a node reads in the mean" in page
    assert "a pass of torch over the whole graph" in page
    assert "tokens" not in page.partition("<h2>Deployment")[2].partition("<h2>Trials")[0]


def test_the_study_is_shown_resumed_and_planned(found: Ran, run: Run) -> None:
    shown = run("studies", "show", "it")
    assert "GcnStudent" in shown.out + found.out
    again = run("resume", "it", "--json", "-q")
    assert again.json == found.json
    planned = run(*SEARCH, "--budget", "5cpu-min", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["n_trials"] > 5
    assert planned.json["teachers"] == ["graph:TrainTeacher"]
    assert 0 < planned.json["deploy_seconds"] < 60  # three finalists of one form


def test_a_study_travels(found: Ran, run: Run, place: Path) -> None:
    assert run("studies", "export", "it", "--output", "it.zip").code == 0
    ran = run("studies", "import", "it.zip", "--as", "other")
    assert ran.code == 0, ran.err
    assert "other" in run("studies").out


def test_a_checkpoint_is_scored_again_and_exported(found: Ran, run: Run, place: Path) -> None:
    best = found.json["front"][0]
    scored = run("evaluate", best["checkpoint"], "--dataset", DATA, "--json")
    assert scored.code == 0, scored.err
    assert (scored.json["form"], scored.json["n_rows"]) == ("graph", 60)
    assert (scored.json["seed"], scored.json["notes"]) == (None, [])
    seen = run("evaluate", best["checkpoint"], "--dataset", DATA, "--split", "train", "--json")
    assert seen.json["notes"] == ["the checkpoint was trained on these very rows."]
    form = best["forms"][0]
    assert scored.json["score"] == pytest.approx(form["test_score"])
    made = run("export", "it", "--output", "mine", "--json")
    assert made.code == 0, made.err
    assert made.json["worst_difference"] == 0
    card = (place / "mine" / "README.md").read_text()
    assert "graph-ml" in card
    assert "open_graph_runtime" in card
    assert "transformers" not in card


def test_a_pipeline_is_trained_alone_on_a_file(run: Run, place: Path) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 2
    np.savez(
        place / "mine.npz",
        feature_data=(draw.normal(size=240) + np.repeat(labels, 4)).astype(np.float32),
        feature_indices=np.tile(np.arange(4), 60),
        feature_indptr=np.arange(61) * 4,
        n_features=np.int64(4),
        labels=labels,
        edges=draw.integers(0, 60, size=(2, 150)),
        train=np.arange(20),
        validation=np.arange(20, 40),
        test=np.arange(40, 60),
    )
    ran = run("train", "pipeline.json", "--dataset", "mine.npz", "--output", "student", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["params"] == 5 * 4 + 5 * 2
    scored = run("evaluate", "student", "--dataset", "mine.npz", "--json")
    assert scored.json["score"] == pytest.approx(ran.json["test_score"])


REFUSED: list[tuple[tuple[str, ...], str]] = [
    ((*SEARCH, "--budget", "1trials", "--space", "basics", "--teacher", "teacher"), "works on data of the kind text"),
    ((*SEARCH, "--budget", "1trials", "--teacher", "teacher"), "trains its teachers by graph:TrainTeacher"),
    ((*SEARCH, "--budget", "1trials", "--latency", "runtime=onnx"), "on a graph may name batch and threads"),
    (("search", "--dataset", "mine.csv", "--space", "graph", "--budget", "1trials"), "works on data of the kind graph"),
    (("export", "it", "--format", "onnx", "--output", "new"), "it has no form onnx"),
    (("evaluate", "CHECKPOINT", "--dataset", "mine.csv"), "reads nodes of a graph and these are texts"),
    (("evaluate", "teacher", "--dataset", DATA), "reads texts and these are nodes of a graph"),
    (("evaluate", "CHECKPOINT", "--dataset", DATA, "--runtime", "onnx"), "reads a folder of the form onnx"),
    (("evaluate", "CHECKPOINT", "--dataset", "csbm:features=30"), "reads nodes with as many features"),
    (("predict", "CHECKPOINT", "--input", "mine.csv"), "reads nodes of a graph and these are texts"),
    (("train", "pipeline.json", "--dataset", "mine.csv", "--output", "new"), "works on data of the kind graph"),
    (("train", "pipeline.json", "--dataset", "missing.npz", "--output", "new"), "a data file must exist"),
]


@pytest.mark.parametrize(("arguments", "line"), REFUSED, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_a_graph_does_not_have_is_refused_in_one_line(
    found: Ran, run: Run, arguments: tuple[str, ...], line: str
) -> None:
    checkpoint = str(found.json["front"][0]["checkpoint"])
    ran = run(*(checkpoint if word == "CHECKPOINT" else word for word in arguments))
    assert ran.code != 0
    assert line in ran.err.splitlines()[-1], ran.err


def test_the_default_space_is_that_of_the_data(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)

    def space(**given: Any) -> str:
        return prepare(
            Request(budget="1trials", runner="pool", workers=1, storage="sqlite:///other.db", **given)
        ).space.name

    assert space(data=DataSource("csbm:n=60")) == "graph"
    assert space(data=DataSource("mine.csv"), teacher="teacher") == "full"
