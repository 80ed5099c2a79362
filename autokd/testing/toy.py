"""A study without networks: a small space with made-up costs and scores.

For tests of runners and searches, and for measuring what orchestration itself costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.errors import SpecError
from autokd.core.job import TrialSpec
from autokd.core.record import TrialRecord
from autokd.core.settings import DataSource, StudySettings
from autokd.space import Space
from autokd.store.study_store import StudyStore
from autokd.study.appraise import Appraisal
from autokd.testing.toy_work import ALONE_SECONDS, MACS_PER_LAYER, TEACHER_MACS, toy_shape

SPACE = """
stages:
  - {use: toy:Teacher}
  - use: toy:Train
    layers: {name: layers, pick: [1, 2, 3, 4]}
    rate: {name: rate, low: 0.001, high: 0.1, log: true}
    behaviour: {name: behaviour, pick: [plain]}
form: float32
"""


def toy_space(*behaviours: str) -> str:
    """The toy space's text, with a choice among these behaviours (``plain``, ``nan``, ``raise``, ``die``)."""
    return SPACE.replace("[plain]", f"[{', '.join(behaviours or ('plain',))}]")


def toy_settings(study: str, files: Path, budget: str, **changes: Any) -> StudySettings:
    """Settings of a toy study; ``files`` is any folder."""
    first = {
        "study": study,
        "data": DataSource("toy"),
        "task": str(files / "task"),
        "task_name": "toy",
        "metric": "accuracy",
        "space_name": "toy",
        "space_text": SPACE,
        "teachers": ("toy-base",),
        "assets": {"toy-base": str(files / "toy-base")},
        "budget": budget,
        "runner": "pool",
        "workers": 2,
    }
    return StudySettings(**{**first, **changes})


def toy_store(storage: str, settings: StudySettings) -> StudyStore:
    """A new study of the toy space."""
    holes = Space.parse(settings.space_text, settings.space_name).holes
    return StudyStore.create(storage, settings, holes)


@dataclass(frozen=True)
class ToyAppraiser:
    """Appraises toy pipelines. ``scale`` multiplies the time that every job takes."""

    settings: StudySettings
    cache: Path

    def appraise(self, pipeline: Mapping[str, Any]) -> Appraisal:
        stages = pipeline["stages"]
        if [stage["use"] for stage in stages] != ["toy:Teacher", "toy:Train"]:
            raise SpecError(f"a toy pipeline has a teacher and a training, but got {stages!r}.")
        layers = stages[1]["layers"]
        values = {"macs": layers * MACS_PER_LAYER, "params": layers * 1e6}
        macs, shape = layers * MACS_PER_LAYER, toy_shape(pipeline)
        return Appraisal(pipeline, "toy-teacher", TEACHER_MACS, macs, values, "toy-base", shape)

    def control(self, pipeline: Mapping[str, Any], name: str) -> Appraisal:
        stages = pipeline["stages"]
        return self.appraise({**pipeline, "stages": [stages[0], {**stages[1], "behaviour": "plain", "rate": 0.05}]})

    def spec(self, pipeline: Mapping[str, Any], replicate: int) -> TrialSpec:
        settings = self.settings
        return TrialSpec(pipeline, settings.task, settings.assets, str(self.cache), settings.seed, replicate)

    def prefix_ready(self, prefix: str) -> bool:
        return (self.cache / f"{prefix}.json").is_file()

    def deploy_seconds(self, macs: float, teacher_macs: float) -> float:
        return ALONE_SECONDS

    def latency_seconds(self, macs: float, teacher_macs: float) -> float:
        return ALONE_SECONDS


def toy_interval(runs: Sequence[TrialRecord]) -> tuple[float, float, float]:
    """The mean test score over seeds, and their range."""
    scores = [run.values["test_score"] for run in runs]
    return sum(scores) / len(scores), min(scores), max(scores)
