"""One pipeline outside of a study: the teacher asked for is the teacher used."""

from pathlib import Path

import pytest

from autokd.core.errors import UsageError
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
