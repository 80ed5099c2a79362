from __future__ import annotations

from typing import Any

import pytest

from autokd.pipeline import Pipeline
from autokd.study.controls import control

TEACHER = {"use": "basics:FineTuneTeacher", "model": "minilm"}
STUDENT = {"use": "basics:TruncateLayers", "keep": 2}


def resolved(*stages: dict[str, Any]) -> dict[str, Any]:
    return Pipeline.from_json({"stages": [TEACHER, STUDENT, *stages]}).to_json()


def distil(**fields: Any) -> dict[str, Any]:
    return {"use": "basics:Distil", **fields}


def n_steps(stage: dict[str, Any], n_rows: int = 3200) -> float:
    return float(stage["epochs"]) * n_rows / float(stage["batch_size"])


@pytest.mark.parametrize(("name", "objective"), [("fine-tune", "basics:Labels"), ("logits", "basics:Logits")])
def test_a_control_has_the_shape_and_one_plain_objective(name: str, objective: str) -> None:
    fancy = distil(
        objectives=[{"use": "basics:HiddenMSE"}, {"use": "basics:Logits"}],
        hooks=[{"use": "basics:MagnitudePruning"}],
        augmenters=[{"use": "basics:Mixup"}],
        optimizer={"use": "basics:AdamW", "lr": 0.0003},
        dropout=0.0,
        epochs=4,
        batch_size=16,
    )
    found = control(resolved(fancy), name, "classification")
    teacher, student, plain = found["stages"]
    assert (teacher["model"], student["keep"]) == ("minilm", 2)
    assert [term["use"] for term in plain["objectives"]] == [objective]
    assert (plain["hooks"], plain["augmenters"], plain["sampler"]) == ([], [], None)
    assert (plain["optimizer"]["lr"], plain["dropout"], plain["batch_size"]) == (0.0003, 0.0, 16)
    assert plain["epochs"] == 4


def test_a_control_takes_all_the_steps_of_the_pipeline() -> None:
    first, last = distil(epochs=3, batch_size=16), distil(epochs=2, batch_size=32)
    pipeline = resolved(first, {"use": "basics:Rewind"}, last)
    found = control(pipeline, "logits", "classification")
    assert [stage["use"] for stage in found["stages"]] == [TEACHER["use"], STUDENT["use"], "basics:Distil"]
    assert n_steps(found["stages"][-1]) == n_steps(first) + n_steps(last)


def test_rows_that_an_augmenter_added_count_as_steps() -> None:
    augmented = distil(epochs=2, batch_size=32, augmenters=[{"use": "basics:WordSwap"}])
    plain = control(resolved(augmented), "fine-tune", "classification")["stages"][-1]
    assert plain["epochs"] == 4


def test_regression_is_distilled_by_squared_error() -> None:
    found = control(resolved(distil()), "logits", "regression")
    assert found["stages"][-1]["objectives"][0]["form"] == "mse"


@pytest.mark.parametrize(
    ("objectives", "name", "epochs"),
    [
        (("Logits",), "logits", 4.0),
        (("Logits",), "fine-tune", 12.0),
        (("Labels",), "logits", 4.0 / 3),
        (("Labels",), "fine-tune", 4.0),
        (("Labels", "Logits"), "fine-tune", 12.0),
    ],
)
def test_steps_are_equal_beside_unlabelled_rows(objectives: tuple[str, ...], name: str, epochs: float) -> None:
    """With two unlabelled rows to each training row, an epoch with a teacher has three times as many steps."""
    given = resolved(distil(objectives=[{"use": f"basics:{use}"} for use in objectives], epochs=4))
    assert control(given, name, "classification", 2.0)["stages"][-1]["epochs"] == pytest.approx(epochs)


def test_steps_of_batches_that_are_not_full_count_as_steps() -> None:
    """140 labelled rows are one batch, 2,708 with the unlabelled ones three: 30 steps in any case."""
    taught = distil(objectives=[{"use": "basics:Logits"}], epochs=10, batch_size=1024)
    found = control(resolved(taught), "fine-tune", "classification", 2568 / 140, rows=140)
    assert found["stages"][-1]["epochs"] == 30
    assert control(resolved(taught), "logits", "classification", 2568 / 140, rows=140)["stages"][-1]["epochs"] == 10


CUT = {"use": "platon:StructuredPlaton", "keep": 0.4}


def uses(pipeline: dict[str, Any]) -> list[str]:
    return [stage["use"].partition(":")[2] for stage in pipeline["stages"]]


def test_a_control_is_cut_as_its_pipeline_is() -> None:
    fancy = distil(objectives=[{"use": "basics:HiddenMSE"}], hooks=[CUT], epochs=4)
    pipeline = resolved(distil(epochs=2), fancy)
    found = control(pipeline, "logits", "classification")
    assert uses(found) == ["FineTuneTeacher", "TruncateLayers", "Distil"]
    plain = found["stages"][-1]
    assert [hook["use"] for hook in plain["hooks"]] == [CUT["use"]]
    assert plain["hooks"][0]["keep"] == 0.4
    assert plain["epochs"] == 6


def test_steps_after_a_cut_follow_it_in_the_control_too() -> None:
    experts = {"use": "moebert:ToExperts", "of": "student"}
    found = control(resolved(distil(epochs=2, hooks=[CUT]), experts, distil(epochs=3)), "fine-tune", "classification")
    assert uses(found) == ["FineTuneTeacher", "TruncateLayers", "Distil", "ToExperts", "Distil"]
    assert [found["stages"][i]["epochs"] for i in (2, 4)] == [2, 3]
    assert [len(found["stages"][i]["hooks"]) for i in (2, 4)] == [1, 0]


def test_each_distillation_that_stays_keeps_its_own_optimizer() -> None:
    cutting = distil(epochs=2, hooks=[CUT], batch_size=8, optimizer={"use": "basics:AdamW", "lr": 3e-4})
    shifted = distil(epochs=3, optimizer={"use": "adashift:AdaShift", "keep": 10})
    experts = {"use": "moebert:ToExperts", "of": "student"}
    first, last = (
        control(resolved(cutting, experts, shifted), "logits", "classification")["stages"][i] for i in (2, 4)
    )
    assert (first["optimizer"]["use"], first["optimizer"]["lr"], first["batch_size"]) == ("basics:AdamW", 3e-4, 8)
    assert (last["optimizer"]["use"], last["optimizer"]["keep"]) == ("adashift:AdaShift", 10)


def test_a_cut_that_was_rewound_is_none() -> None:
    pipeline = resolved(distil(epochs=2, hooks=[CUT]), {"use": "basics:Rewind"}, distil(epochs=3))
    found = control(pipeline, "logits", "classification")
    assert uses(found) == ["FineTuneTeacher", "TruncateLayers", "Distil"]
    assert (found["stages"][-1]["epochs"], found["stages"][-1]["hooks"]) == (5, [])
