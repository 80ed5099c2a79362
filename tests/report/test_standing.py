from __future__ import annotations

from dataclasses import replace

from autokd.core.result import StudyResult
from autokd.report.standing import cost_axes, points, tried_axes, verdict


def test_points_are_the_teacher_then_finalists_by_cost_then_controls(result: StudyResult) -> None:
    found = points(result)
    assert [(p.kind, p.label) for p in found] == [
        ("teacher", "minilm"),
        ("finalist", "5"),
        ("finalist", "3"),
        ("control", "fine-tune"),
        ("control", "logits"),
    ]
    assert found[0].low is None
    assert found[2].share["macs"] == 0.5
    assert found[2].kept == 0.83 / 0.88


def test_costs_that_were_minimised_come_first(result: StudyResult) -> None:
    settings = replace(result.settings, objectives=("score", "params"))
    assert cost_axes(result) == ["macs", "params"]
    assert cost_axes(replace(result, settings=settings)) == ["params", "macs"]


def test_only_costs_that_were_measured_are_drawn(result: StudyResult, deployed_result: StudyResult) -> None:
    assert cost_axes(deployed_result) == ["latency", "macs", "params", "size_bytes"]
    assert tried_axes(result) == ["macs", "params", "size_bytes"]
    assert tried_axes(deployed_result) == ["latency", "macs", "params", "size_bytes"]
    asked = replace(result, settings=replace(result.settings, objectives=("score", "latency")))
    assert cost_axes(asked) == ["macs", "params"]


def test_points_carry_what_deploying_measured(deployed_result: StudyResult) -> None:
    teacher, small, best, *controls = points(deployed_result)
    assert (teacher.costs["latency"], teacher.costs["size_bytes"]) == (8.0, 9.1e7)
    assert (small.label, small.form, small.speedup, small.active_params) == ("5", "onnx-int8", 10.0, 9e6)
    assert (best.costs["latency"], best.latency_p90_ms, best.active_params) == (2.0, 2.5, None)
    assert best.share["latency"] == 0.25
    assert [control.speedup for control in controls] == [4.0, 4.0]


def test_the_verdict_names_the_fastest_runtime_beside_the_teacher(deployed_result: StudyResult) -> None:
    best, fastest, runtime, *_ = verdict(deployed_result)
    assert best.startswith("The best student (trial 3)")
    assert fastest.startswith("The fastest (trial 5)")
    assert runtime == "The best student is fastest in onnx-int8: a call takes 1 ms, one of the teacher 8 ms (8.0×)."


def test_the_verdict_tells_certain_differences_from_possible_chance(result: StudyResult) -> None:
    best, cheapest, fine_tune, logits = verdict(result)
    assert best.startswith("The best student (trial 3) scores 0.830: 94% of the teacher's score with 50.0% of its MACs")
    assert cheapest.startswith("The cheapest (trial 5) scores 0.780")
    assert fine_tune == "The best student is 0.080 above the control fine-tune; the intervals do not overlap."
    assert logits == (
        "The best student is 0.015 above the control logits; the intervals overlap, so this may be chance."
    )


def test_a_control_that_wins_is_said_so(result: StudyResult) -> None:
    strong = replace(result.controls[0], test_score=0.87, test_low=0.86, test_high=0.88)
    sentences = verdict(replace(result, controls=(strong,)))
    assert sentences[-1] == ("The best student is 0.040 below the control fine-tune; the intervals do not overlap.")


def test_no_share_of_a_teacher_that_scores_nothing(result: StudyResult) -> None:
    assert result.teacher is not None
    found = points(replace(result, teacher=replace(result.teacher, test_score=0.0)))
    assert found[1].kept is None


def test_an_unconfirmed_study_claims_nothing(result: StudyResult) -> None:
    assert verdict(replace(result, front=())) == [
        "No student has been confirmed yet: the figures below are validation scores of single runs."
    ]


def test_a_control_with_the_same_score_is_level(result: StudyResult) -> None:
    same = replace(result.controls[1], test_score=0.8302)
    assert verdict(replace(result, controls=(same,)))[-1] == "The best student is level with the control logits."


def test_a_control_of_another_shape_is_not_called_better_or_worse(result: StudyResult) -> None:
    other = replace(result.controls[0], macs=1.5 * result.controls[0].macs)
    said = verdict(replace(result, controls=(other,)))[-1]
    assert said.startswith("The control fine-tune has another student's shape than the best: it scores ")
    assert said.endswith("with 1.50 times the MACs.")
