from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import SpecError, UsageError
from autokd.core.settings import DataSource
from autokd.models.tiny import tiny_checkpoint
from autokd.space import Space
from autokd.study import prepare
from autokd.study.appraise import PipelineAppraiser
from autokd.study.prepare import Request, base_models, find_teachers
from autokd.tasks.frozen import thaw

TEXTS = [f"{'good' if i % 2 else 'bad'} word{i} in a row" for i in range(80)]


def request(**changes: object) -> Request:
    return Request(**{"data": DataSource("d.csv"), "budget": "3trials", **changes})  # type: ignore[arg-type]


@pytest.fixture
def made() -> Request:
    """A request for a small local data set and a small local teacher, in the test's own folder."""
    rows = [f"{text},{'yes' if i % 2 else 'no'}" for i, text in enumerate(TEXTS)]
    Path("d.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    tiny_checkpoint(Path("teacher"), TEXTS)
    return request(teacher="teacher", max_length=16, workers=1)


def test_settings_are_frozen_and_say_nothing_of_auto(made: Request) -> None:
    found = prepare.prepare(made)
    settings = found.settings
    assert settings.teachers == (str(Path("teacher").resolve()),)
    assert "auto" not in found.space.text.split()
    assert (Path(settings.assets[settings.teachers[0]]) / "model.safetensors").is_file()
    assert thaw(Path(settings.task)).label_names == ("no", "yes")
    assert settings.train_rows == len(thaw(Path(settings.task)).train)
    assert 4 <= settings.median_length <= 16
    assert settings.study.startswith("d-")
    assert (settings.device, settings.workers, settings.max_length) == ("cpu", 1, 16)
    assert any("carved" in note for note in found.notes)


def test_a_pipeline_is_appraised_without_running_it(made: Request) -> None:
    settings = prepare.prepare(made).settings
    appraiser = PipelineAppraiser(settings, Path("cache").resolve())
    stages = [
        {"use": "basics:FineTuneTeacher"},
        {"use": "basics:TruncateLayers", "keep": 1},
        {"use": "basics:Distil", "epochs": 2},
    ]
    one = appraiser.appraise({"stages": stages})
    assert one.teacher == settings.teachers[0]
    assert one.pipeline["stages"][0]["model"] == settings.teachers[0]
    assert one.prefix
    assert not appraiser.prefix_ready(one.pipeline)
    longer = appraiser.appraise({"stages": [*stages[:2], {**stages[2], "epochs": 4}]})
    assert longer.macs > one.macs
    assert (longer.prefix, longer.prefix_macs, longer.values) == (one.prefix, one.prefix_macs, one.values)
    deeper = appraiser.appraise({"stages": [stages[0], {**stages[1], "keep": 2}, stages[2]]})
    assert deeper.values["params"] > one.values["params"]
    assert appraiser.control(one.pipeline, "logits").values == one.values
    with pytest.raises(SpecError):
        appraiser.appraise({"stages": [stages[0], {**stages[1], "keep": 9}, stages[2]]})
    with pytest.raises(SpecError, match="base model"):
        appraiser.appraise({"stages": [{**stages[0], "model": "another"}, *stages[1:]]})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": ("speed",)}, "speed"),
        ({"objectives": ("macs",)}, "score"),
        ({"constraints": ("params<15e6",)}, "NAME<=NUMBER"),
        ({"workers": 0}, "workers"),
        ({"gpus_per_trial": 2.0}, "gpus-per-trial"),
        ({"runner": "slurm"}, "runner"),
        ({"runner": "pool", "address": "here:6379"}, "Ray cluster"),
        ({"space": "nowhere"}, "search space"),
        ({"budget": "soon"}, "budget"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prepare.prepare(request(**changes))


def test_models_that_are_missing_are_masked_and_named() -> None:
    tiny_checkpoint(Path("teacher"), TEXTS)
    text = """
stages:
  - {use: basics:FineTuneTeacher, model: {name: teacher, pick: [auto, no/such-model]}}
  - {use: basics:TruncateLayers}
  - {use: basics:Distil}
form: float32
"""
    space = Space.parse(text, "two")
    assert base_models(space) == ("auto", "no/such-model")
    found, notes = find_teachers("teacher", space)
    assert [asset.name for asset in found] == [str(Path("teacher").resolve())]
    assert "no/such-model" in notes[0]
