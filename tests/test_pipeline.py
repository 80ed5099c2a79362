"""Pipelines are data: read, checked and forecast before anything runs."""

from dataclasses import replace
from typing import Any

import pytest

from autokd.contracts import BaseModel, Sizes
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.pipeline import Pipeline

TEACHER = {"use": "basics:FineTuneTeacher", "model": "m"}
TRUNCATE = {"use": "basics:TruncateLayers", "keep": 2}
DISTIL = {"use": "basics:Distil"}
SPARSIFY = {"use": "stark:SparsifyTeacher", "share": 0.3}
REWIND = {"use": "basics:Rewind"}
EXPERTS = {"use": "moebert:ToExperts"}
MIXED = {"use": "basics:Distil", "augmenters": [{"use": "basics:Mixup"}]}
FACTS = frozenset({"text", "classification"})


def pipeline(*stages: dict[str, Any]) -> Pipeline:
    return Pipeline.from_json({"stages": list(stages), "form": "float32"})


@pytest.mark.parametrize(
    "stages",
    [
        (TEACHER, TRUNCATE, DISTIL),
        (TEACHER, TRUNCATE, DISTIL, DISTIL),
        (TEACHER, TRUNCATE, DISTIL, SPARSIFY, REWIND, DISTIL),
        (TEACHER, TRUNCATE, EXPERTS, DISTIL),
        (TEACHER, TRUNCATE, MIXED),
    ],
)
def test_legal_orders(stages) -> None:
    pipeline(*stages).check(FACTS)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((TRUNCATE, DISTIL), r"stage 1 \(basics:TruncateLayers\) needs .*teacher"),
        ((TEACHER, DISTIL), r"stage 2 \(basics:Distil\) needs .*student"),
        ((TEACHER, TRUNCATE), "must end with a trained student"),
        ((TEACHER, TRUNCATE, SPARSIFY, DISTIL), r"stage 3 \(stark:SparsifyTeacher\) needs trained_student"),
        ((TEACHER, TRUNCATE, DISTIL, SPARSIFY, REWIND), "must end with a trained student"),
        (
            (TEACHER, TRUNCATE, EXPERTS, MIXED),
            r"basics:Mixup in stage 4 \(basics:Distil\) cannot run where hash_routed",
        ),
    ],
)
def test_illegal_orders_say_what_is_missing(stages, message) -> None:
    with pytest.raises(SpecError, match=message):
        pipeline(*stages).check(FACTS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "list 'stages'"),
        ({"stages": []}, "list 'stages'"),
        ({"stages": [DISTIL], "shape": 1}, "list 'stages'"),
        ({"stages": [DISTIL], "form": "int3"}, "must be one of"),
        ({"stages": [{"use": "basics:AdamW"}]}, "made of stages"),
        ({"stages": [{"use": "basics:Distil", "epoch": 1}]}, "has no field 'epoch'; it has"),
        ({"stages": [{"use": "basics:Distil", "epochs": "three"}]}, "must be a number, but got 'three'"),
        ({"stages": [{"use": "basics:Distil", "objectives": [{"use": "basics:Logits", "form": "x"}]}]}, "Logits"),
        ({"stages": [{"no": "use"}]}, "'use' address"),
    ],
)
def test_what_is_not_a_pipeline_is_refused(value, message) -> None:
    with pytest.raises(SpecError, match=message):
        Pipeline.from_json(value)


def test_json_with_defaults_is_a_fixed_point() -> None:
    once = pipeline(TEACHER, TRUNCATE, DISTIL).to_json()
    assert Pipeline.from_json(once).to_json() == once
    assert once["stages"][2]["optimizer"]["use"] == "basics:AdamW"


def test_forecasts_add_up_and_follow_the_shapes() -> None:
    shape = EncoderShape(100, 64, 32, (LayerShape(4, 8, 64),) * 4, labels=2)
    sizes = Sizes(rows=1000, length=20.0, teacher=shape)
    short = pipeline(TEACHER, TRUNCATE, DISTIL)
    cost, after = short.forecast(sizes)
    assert cost.known
    assert cost.macs > 0
    assert after.student is not None
    assert after.student.depth == 2
    rest, _ = short.forecast(sizes, short.n_shared)
    shared, _ = Pipeline(short.stages[: short.n_shared]).forecast(sizes)
    assert rest.macs + shared.macs == pytest.approx(cost.macs)
    double, _ = pipeline(TEACHER, TRUNCATE, DISTIL, DISTIL).forecast(sizes, 1)
    assert double.macs == pytest.approx(2 * rest.macs)


def test_the_shared_prefix_is_the_teacher() -> None:
    assert pipeline(TEACHER, TRUNCATE, DISTIL).n_shared == 1
    assert pipeline(TEACHER, TRUNCATE, DISTIL).base_models() == ("m",)


LOADED = {"use": "basics:LoadStudent", "model": "s"}
HIDDEN = {"use": "basics:Distil", "objectives": [{"use": "basics:HiddenMSE"}]}
SAME = {"m": BaseModel("m", tokenizer="a"), "s": BaseModel("s", tokenizer="a")}
OTHER = {**SAME, "s": BaseModel("s", tokenizer="b")}
FOREIGN = {**SAME, "m": BaseModel("m", is_encoder=False, tokenizer="a")}


@pytest.mark.parametrize(
    ("stages", "bases"),
    [
        ((TEACHER, LOADED, DISTIL), OTHER),
        ((TEACHER, LOADED, HIDDEN), SAME),
        ((TEACHER, LOADED, HIDDEN), FOREIGN),
        ((TEACHER, LOADED, HIDDEN), {}),
        ((TEACHER, LOADED, TRUNCATE, HIDDEN), OTHER),  # the student is the teacher's again
        ((TEACHER, LOADED, {"use": "moebert:ToExperts", "of": "student"}, DISTIL), OTHER),
    ],
)
def test_base_models_that_go_together(stages, bases) -> None:
    pipeline(*stages).check(FACTS, bases)


@pytest.mark.parametrize(
    ("stages", "bases", "message"),
    [
        (
            (TEACHER, LOADED, HIDDEN),
            OTHER,
            "basics:HiddenMSE in stage 3 .* different tokenizers; .* basics:Logits, distiller:PKD, mi",
        ),
        (
            (TEACHER, LOADED, {"use": "moebert:ToExperts", "of": "student"}, HIDDEN),
            OTHER,
            "basics:HiddenMSE in stage 4 .* different tokenizers",
        ),
        ((TEACHER, LOADED, {"use": "basics:Distil", "augmenters": [{"use": "basics:Mixup"}]}), OTHER, "basics:Mixup"),
        (
            (TEACHER, LOADED, DISTIL, {"use": "stark:SparsifyTeacher"}),
            OTHER,
            "SparsifyTeacher. needs the same tokens",
        ),
        ((TEACHER, TRUNCATE, DISTIL), FOREIGN, "TruncateLayers. needs encoder_teacher"),
        ((TEACHER, {"use": "moebert:ToExperts"}, DISTIL), FOREIGN, "ToExperts. needs encoder_teacher"),
        ((TEACHER, LOADED, DISTIL), {**SAME, "s": BaseModel("s", is_encoder=False)}, "families bert.*'s' is not"),
        ((LOADED, DISTIL), SAME, "needs teacher"),
    ],
)
def test_base_models_that_do_not(stages, bases, message) -> None:
    with pytest.raises(SpecError, match=message):
        pipeline(*stages).check(FACTS, bases)


def test_forecasts_know_base_models_by_name() -> None:
    shape = EncoderShape(100, 64, 32, (LayerShape(4, 8, 64),) * 4, labels=2)
    small = shape.with_layers(shape.layers[:1])
    sizes = Sizes(rows=1000, length=20.0, teacher=shape, bases={"m": shape, "s": small})
    loaded = pipeline(TEACHER, LOADED, DISTIL)
    cost, after = loaded.forecast(sizes)
    assert cost.known
    assert after.student == small
    tuned, _ = loaded.forecast(replace(sizes, tuned=frozenset({"m"})))
    rest, _ = loaded.forecast(sizes, 1)
    assert tuned.macs == rest.macs < cost.macs
