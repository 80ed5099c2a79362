from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autokd.core.errors import SpecError, UsageError
from autokd.core.holes import Choice
from autokd.core.settings import DataSource
from autokd.models.tiny import tiny_checkpoint, tiny_foreign
from autokd.models.tiny_text import tiny_masked_lm
from autokd.space import Space
from autokd.study import prepare
from autokd.study.appraise import PipelineAppraiser
from autokd.study.base_models import named_models
from autokd.study.prepare import Request
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
    assert not appraiser.prefix_ready(one.prefix)
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
    # Of a student that a stage searches only a bound is known.
    supernet = {"use": "autodistil:TrainSupernet", "space": "base"}
    found = appraiser.appraise(
        {"stages": [stages[0], supernet, {"use": "autodistil:SearchSubnet", "macs": 0.9}, stages[2]]}
    )
    assert (found.values, found.shape) == ({}, "")
    assert found.macs > 0
    assert [name for name, _ in found.prefix_parts] == [one.prefix, found.prefix]
    assert found.prefix_parts[0] == one.prefix_parts[0]
    assert found.prefix_macs == sum(macs for _, macs in found.prefix_parts) > one.prefix_macs


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


SPACE = """
stages:
  - {use: basics:FineTuneTeacher, model: {name: teacher, pick: [auto, no/such-model]}}
  - name: student
    pick:
      cut: {use: basics:TruncateLayers}
      loaded: {use: basics:LoadStudent, model: {name: small, pick: [no/small, small]}}
  - {use: basics:Distil}
form: float32
"""


def test_models_that_are_missing_are_masked_and_named(made: Request) -> None:
    tiny_checkpoint(Path("small"), ["other words"])
    Path("two.yaml").write_text(SPACE)
    space = Space.parse(SPACE, "two")
    assert named_models(space) == (("auto", "no/such-model"), ("no/small", "small"))
    found = prepare.prepare(replace(made, space="two.yaml"))
    teacher = str(Path("teacher").resolve())
    assert found.settings.teachers == (teacher,)
    assert sorted(found.settings.assets) == sorted([teacher, "small"])
    masked = [note for note in found.notes if note.startswith("Masked")]
    assert len(masked) == 1  # one reason, one line
    assert masked[0].startswith("Masked: no/such-model, no/small. Of each of them: no model of this name")
    appraiser = PipelineAppraiser(found.settings, Path("cache").resolve())
    stages = [{"use": "basics:FineTuneTeacher"}, {"use": "basics:LoadStudent", "model": "small"}]
    one = appraiser.appraise({"stages": [*stages, {"use": "basics:Distil"}]})
    assert one.teacher == teacher
    assert one.values["params"] > 0
    with pytest.raises(SpecError, match="objectives that compare whole rows remain: basics:Labels"):
        appraiser.appraise({"stages": [*stages, {"use": "basics:Distil", "objectives": [{"use": "basics:HiddenMSE"}]}]})
    with pytest.raises(SpecError, match="base model"):
        appraiser.appraise({"stages": [stages[0], {**stages[1], "model": "no/small"}, {"use": "basics:Distil"}]})


def test_several_teachers_are_a_choice_of_the_space(made: Request) -> None:
    tiny_checkpoint(Path("second"), TEXTS, seed=4, depth=3)
    both = tuple(str(Path(name).resolve()) for name in ("teacher", "second"))
    found = prepare.prepare(replace(made, teacher=("teacher", "second", "teacher")))
    assert found.settings.teachers == both
    hole = next(hole for hole in found.space.holes if hole.name == "teacher")
    assert isinstance(hole, Choice)
    assert hole.options == both
    appraiser = PipelineAppraiser(found.settings, Path("cache").resolve())
    stages = [{"use": "basics:TruncateLayers", "keep": 1}, {"use": "basics:Distil"}]
    first, second = (
        appraiser.appraise({"stages": [{"use": "basics:FineTuneTeacher", "model": name}, *stages]}) for name in both
    )
    assert first.prefix != second.prefix
    assert second.prefix_macs > first.prefix_macs
    assert second.pipeline["stages"][0]["model"] == both[1]
    Path("fixed.yaml").write_text(SPACE.replace("model: {name: teacher, pick: [auto, no/such-model]}", "epochs: 1"))
    with pytest.raises(UsageError, match="makes the teacher a choice"):
        prepare.prepare(replace(made, teacher=("teacher", "second"), space="fixed.yaml"))


def test_a_tuned_teacher_costs_no_training_and_a_note_says_so(made: Request) -> None:
    path = Path("teacher") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "id2label": {"0": "yes", "1": "no"}}))
    found = prepare.prepare(made)
    assert any("it is evaluated, not trained" in note for note in found.notes)
    appraiser = PipelineAppraiser(found.settings, Path("cache").resolve())
    stages = [{"use": "basics:FineTuneTeacher"}, {"use": "basics:TruncateLayers", "keep": 1}, {"use": "basics:Distil"}]
    one = appraiser.appraise({"stages": stages})
    assert one.prefix_macs == 0
    assert one.macs > 0


def test_a_teacher_that_cannot_be_cut_needs_another_space(made: Request) -> None:
    tiny_foreign(Path("foreign"), TEXTS)
    with pytest.raises(SpecError, match=r"no pipeline of the space 'basics' can run: .*encoder_teacher.*students"):
        prepare.prepare(replace(made, teacher="foreign", space="basics"))
    Path("two.yaml").write_text(SPACE)
    tiny_checkpoint(Path("small"), TEXTS)
    assert prepare.prepare(replace(made, teacher="foreign", space="two.yaml")).settings.teachers


AUGMENTED = """
stages:
  - {use: basics:FineTuneTeacher, model: {name: teacher, pick: [auto]}}
  - {use: basics:TruncateLayers}
  - use: basics:Distil
    augmenters:
      - name: policy
        pick:
          none: []
          contextual: {use: distiller:ContextualSubstitution, model: {name: lm, pick: [masked, no/masked, teacher]}}
          back: {use: distiller:BackTranslation, forth: no/forth}
form: float32
"""


def test_models_that_methods_read_are_kept_or_masked_like_others(made: Request) -> None:
    tiny_masked_lm(Path("masked"), TEXTS)
    Path("augmented.yaml").write_text(AUGMENTED)
    found = prepare.prepare(replace(made, space="augmented.yaml"))
    teacher = str(Path("teacher").resolve())
    assert sorted(found.settings.assets) == sorted([teacher, "masked"])
    masked = [note for note in found.notes if note.startswith("Masked")]
    wanted = ("no/masked", "has its output layer, but 'teacher'", "no/forth", "Helsinki-NLP/opus-mt-ROMANCE-en")
    assert len(masked) == 2  # what is nowhere stands in one line
    assert [sum(text in note for note in masked) for text in wanted] == [1] * 4
    appraiser = PipelineAppraiser(found.settings, Path("cache").resolve())

    def appraised(*augmenters: dict[str, object]) -> float:
        stages = [
            {"use": "basics:FineTuneTeacher"},
            {"use": "basics:TruncateLayers", "keep": 1},
            {"use": "basics:Distil", "augmenters": list(augmenters)},
        ]
        return appraiser.appraise({"stages": stages}).macs

    swapped = appraised({"use": "basics:WordSwap"})
    assert appraised({"use": "distiller:ContextualSubstitution", "model": "masked"}) > swapped
    with pytest.raises(SpecError, match="'no/forth', which a method of this pipeline reads, is not at hand"):
        appraised({"use": "distiller:BackTranslation", "forth": "no/forth"})


def test_a_space_whose_methods_find_no_model_at_all_cannot_run(made: Request) -> None:
    Path("none.yaml").write_text(AUGMENTED.replace("          none: []\n", ""))
    with pytest.raises(SpecError, match=r"no pipeline of the space 'none' can run: the model .* is not at hand"):
        prepare.prepare(replace(made, space="none.yaml"))
