"""One pipeline outside of a study: the teacher asked for is the teacher used."""

from pathlib import Path

from autokd.distiller import Distiller
from autokd.models.tiny import tiny_checkpoint
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
