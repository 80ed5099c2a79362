"""A whole search with real (tiny) networks, in worker processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from autokd.core.errors import UsageError
from autokd.measure.metrics import METRICS
from autokd.models.tiny import tiny_checkpoint
from autokd.study.result import Study, read_result
from autokd.study.study import resume, search

WORDS = {"no": "red green blue", "yes": "alpha beta gamma"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("search")
    rows = [(f"{WORDS[label].split()[i % 3]} is word {i % 7}", label) for i in range(60) for label in WORDS]
    (folder / "d.csv").write_text("\n".join(["text,label", *(",".join(row) for row in rows)]) + "\n")
    tiny_checkpoint(folder / "teacher", [text for text, _ in rows])
    return search(
        str(folder / "d.csv"),
        "3trials",
        teacher=str(folder / "teacher"),
        storage=str(folder / "studies.db"),
        study="tiny",
        runner="pool",
        workers=1,
        max_length=12,
        command="autokd search ...",
    )


def test_it_ends_with_confirmed_models_and_their_controls(study: Study) -> None:
    assert study.finished
    assert study.states["complete"] == len(study.records)
    assert study.budget.spent == study.budget.limit == 3
    assert {control.name for control in study.controls} == {"fine-tune", "logits"}
    assert study.teacher is not None
    assert study.teacher.params > study.front[0].params
    for finalist in (*study.front, *study.controls):
        assert finalist.n_seeds == 3
        assert finalist.test_low <= finalist.test_score <= finalist.test_high
        assert (Path(finalist.checkpoint) / "model.safetensors").is_file()


def test_a_record_says_what_its_predictions_say(study: Study) -> None:
    for record in study.records:
        if record.role in ("confirm", "control"):
            kept = load_file(record.predictions["test"])
            score = METRICS[study.settings.metric].score(kept["logits"], kept["labels"])
            assert record.values["test_score"] == pytest.approx(score)


def test_records_hold_what_reports_need(study: Study) -> None:
    for record in study.records:
        assert record.device_seconds > 0
        assert record.device_seconds_alone >= record.device_seconds
        assert record.spent_at > 0
        assert record.environment["threads"] == "1"
        assert json.dumps(record.pipeline).count("auto") == 0
    assert study.shared_seconds > 0


def test_the_storage_holds_the_same_study_and_resuming_it_only_reports(study: Study, tmp_path: Path) -> None:
    storage = str(Path(study.settings.task).parents[2] / "studies.db")
    again = read_result(storage, "tiny")
    assert (again.front, again.controls, again.teacher) == (study.front, study.controls, study.teacher)
    assert resume("tiny", storage=storage).front == study.front
    with pytest.raises(UsageError, match="tiny"):
        resume("tinny", storage=storage)
