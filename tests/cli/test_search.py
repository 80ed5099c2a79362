from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import autokd.auto  # noqa: F401 - registers shapes that plain transformers cannot load
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]
NUMBERS = ("valid_score", "test_score", "test_low", "test_high", "params", "macs")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child)
    else:
        yield value


def test_json_is_one_object_on_the_last_line_and_nothing_else(searched: Ran) -> None:
    assert searched.code == 0, searched.err
    assert len(searched.out.splitlines()) == 1
    found = searched.json
    assert list(found) == [
        "study", "dataset", "space", "teacher", "states", "budget", "front", "controls", "report",
    ]  # fmt: skip
    assert found["study"] == "first"
    assert found["dataset"] == "mine.csv"
    assert found["budget"] == {"limit": 2.0, "spent": 2.0, "unit": "trials"}
    assert found["states"]["running"] == 0
    assert found["states"]["complete"] >= 2


def test_the_front_has_no_holes_and_controls_are_named(searched: Ran) -> None:
    found = searched.json
    assert found["front"]
    assert {control["name"] for control in found["controls"]} == {"fine-tune", "logits"}
    for each in (*found["front"], *found["controls"]):
        assert all(math.isfinite(each[name]) for name in NUMBERS)
        assert each["test_low"] <= each["test_score"] <= each["test_high"]
        without_pipeline = {name: value for name, value in each.items() if name != "pipeline"}
        assert None not in list(_leaves(without_pipeline))


def test_a_checkpoint_of_the_front_loads_and_knows_its_labels(searched: Ran) -> None:
    folder = searched.json["front"][0]["checkpoint"]
    assert Path(folder).is_absolute()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == {0: "bad", 1: "good"}
    logits = model(**tokenizer(["a warm and lovely day"], return_tensors="pt")).logits
    assert logits.shape == (1, 2)


def test_progress_went_to_standard_error(searched: Ran) -> None:
    assert "study first: mine (accuracy)" in searched.err
    assert "[search]" in searched.err
    assert "2 of 2 trials" in searched.err


def test_the_report_was_written(searched: Ran) -> None:
    page = Path(searched.json["report"]).read_text(encoding="utf-8")
    assert "<h1>first</h1>" in page
    assert "autokd search --dataset mine.csv" in page


def test_resuming_a_spent_study_reports_the_same_and_spends_nothing(searched: Ran, autokd: Autokd) -> None:
    again = autokd("resume", "first", "--json", "-q")
    assert again.code == 0
    assert again.json == searched.json


def test_a_study_of_that_name_is_refused(searched: Ran, autokd: Autokd) -> None:
    again = autokd("search", "--dataset", "mine.csv", "--teacher", "teacher", "--budget", "2trials", "--study", "first")
    assert again.code == 2
    assert "'first' exists" in again.err


@pytest.mark.parametrize("arguments", [["studies"], ["studies", "list"]])
def test_studies_are_listed(searched: Ran, autokd: Autokd, arguments: list[str]) -> None:
    assert "first" in autokd(*arguments).out
    (found,) = (study for study in autokd(*arguments, "--json").json if study["study"] == "first")
    assert found["states"]["complete"] == searched.json["states"]["complete"]


def test_one_study_is_shown_with_every_trial(searched: Ran, autokd: Autokd) -> None:
    shown = autokd("studies", "show", "first", "--json").json
    assert {name: shown[name] for name in ("front", "teacher", "states")} == {
        name: searched.json[name] for name in ("front", "teacher", "states")
    }
    assert len(shown["trials"]) == sum(shown["states"].values())
    lines = autokd("studies", "show", "first").out
    assert "control fine-tune" in lines
    assert "TruncateLayers" in lines


def test_a_report_can_be_written_elsewhere(searched: Ran, autokd: Autokd, tmp_path: Path) -> None:
    output = tmp_path / "again.html"
    assert autokd("report", "first", "--output", str(output)).out.strip() == str(output)
    assert "<h1>first</h1>" in output.read_text(encoding="utf-8")


def test_one_pipeline_of_the_front_is_trained_alone(searched: Ran, autokd: Autokd, tmp_path: Path) -> None:
    best = searched.json["front"][0]
    (tmp_path / "pipeline.json").write_text(json.dumps(best["pipeline"]))
    output = tmp_path / "student"
    command = ("train", str(tmp_path / "pipeline.json"), "--dataset", "mine.csv", "--output", str(output))
    ran = autokd(*command, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["params"] == best["params"]
    assert ran.json["macs"] == best["macs"]
    assert Path(ran.json["checkpoint"]) == output
    assert AutoModelForSequenceClassification.from_pretrained(output).config.num_labels == 2
    assert not (output / "work").exists()
    again = autokd(*command)
    assert again.code == 2
    assert "must be new or empty" in again.err
