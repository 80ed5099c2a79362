"""One pipeline outside of a study: the teacher asked for is the teacher used."""

import re
from pathlib import Path
from typing import Any

import pytest

from autokd.core.errors import SpecError, UsageError
from autokd.distiller import Distiller
from autokd.models.tiny import tiny_checkpoint
from autokd.models.tiny_text import tiny_masked_lm
from autokd.testing.tiny import tiny_task, tiny_texts


def test_a_pipeline_that_names_no_model_takes_the_teacher_that_was_asked_for(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    tiny_checkpoint(teacher, tiny_texts())
    pipeline = {
        "stages": [
            {"use": "basics:FineTuneTeacher", "epochs": 1},
            {"use": "basics:TruncateLayers", "keep": 1},
            {"use": "basics:Distil", "epochs": 1},
        ]
    }
    student = Distiller(pipeline, teacher=str(teacher), precision="float32").fit(tiny_task(), tmp_path / "out")
    assert student.params < 100_000  # a student of any real teacher has millions
    assert 0 <= student.test_score <= 1


@pytest.mark.parametrize(
    ("keep", "fields", "message"),
    [
        (9, {}, "at most 2 layers can be kept of 2, but got 9."),
        (
            1,
            {"hooks": [{"use": "platon:Platon", "initial": 500}]},
            "Platon.initial and .final must fit into the loop's 2 steps, but together take 500.6.",
        ),
        (
            1,
            {"optimizer": {"use": "adashift:AdaShift", "keep": 2}},
            "AdaShift.keep must be below the loop's 2 steps, or nothing is trained, but got 2.",
        ),
    ],
)
def test_what_shapes_and_rows_forbid_is_refused_before_a_teacher_is_trained(
    keep: int, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    teacher = tiny_checkpoint(tmp_path / "teacher", tiny_texts())
    stages = [
        {"use": "basics:FineTuneTeacher"},
        {"use": "basics:TruncateLayers", "keep": keep},
        {"use": "basics:Distil", "epochs": 1, **fields},
    ]
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        Distiller({"stages": stages}, teacher=str(teacher)).fit(tiny_task(), tmp_path / "out")
    assert not (tmp_path / "out" / "work" / "prefix-job").exists()


def test_models_that_methods_read_are_found_and_copied_beside_the_work(tmp_path: Path) -> None:
    teacher = tiny_checkpoint(tmp_path / "teacher", tiny_texts())
    masked = tiny_masked_lm(tmp_path / "masked", tiny_texts())
    policy = [{"use": "distiller:ContextualSubstitution", "model": str(masked)}]
    pipeline = {
        "stages": [
            {"use": "basics:FineTuneTeacher", "epochs": 1},
            {"use": "basics:TruncateLayers", "keep": 1},
            {"use": "basics:Distil", "epochs": 1, "augmenters": policy},
        ]
    }
    student = Distiller(pipeline, teacher=str(teacher), precision="float32").fit(tiny_task(), tmp_path / "out")
    assert 0 <= student.test_score <= 1
    assert len(list((tmp_path / "out" / "work" / "cache" / "texts").glob("*.jsonl"))) == 1
    policy[0]["model"] = str(teacher)
    with pytest.raises(UsageError, match="a masked language model's checkpoint has its output layer"):
        Distiller(pipeline, teacher=str(teacher)).fit(tiny_task(), tmp_path / "refused")
