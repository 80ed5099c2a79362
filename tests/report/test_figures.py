from __future__ import annotations

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest

from autokd.core.result import StudyResult
from autokd.report.figures import figures, frontier, importance, progress, runtimes, tried


def _traces(figure: Any) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure.data}


def test_every_figure_is_one_that_plotly_accepts(result: StudyResult) -> None:
    made = figures(result)
    assert [figure.name for figure in made] == ["frontier", "tried", "progress", "importance", "cost"]
    for figure in made:
        go.Figure(data=list(figure.data), layout=figure.layout)  # raises for an unknown property


def test_every_figure_of_a_deployed_study_is_one_that_plotly_accepts(deployed_result: StudyResult) -> None:
    made = figures(deployed_result)
    assert [figure.name for figure in made] == ["frontier", "runtimes", "tried", "progress", "importance", "cost"]
    for figure in made:
        drawn = go.Figure(data=list(figure.data), layout=figure.layout)
        for button in drawn.layout.updatemenus[0].buttons if drawn.layout.updatemenus else ():
            restyled, relaid = button.args
            go.Figure(drawn).update_layout(relaid)
            for name, values in restyled.items():
                assert len(values) == len(figure.data)
                for trace, value in zip(figure.data, values, strict=True):
                    go.Scatter(trace | {"x": trace["x"]})[name] = value


def test_the_frontier_can_be_drawn_over_each_cost_and_stays_a_line_from_left_to_right(
    deployed_result: StudyResult,
) -> None:
    slow = replace(deployed_result.front[1], latency_ms=5.0)
    figure = frontier(replace(deployed_result, front=(deployed_result.front[0], slow)))
    assert figure is not None
    buttons = {button["label"]: button["args"] for button in figure.layout["updatemenus"][0]["buttons"]}
    assert list(buttons) == ["latency", "MACs", "parameters", "size"]
    assert _traces(figure)["confirmed students"]["x"] == [2.0, 5.0]
    by_macs, axis = buttons["MACs"]
    assert by_macs["x"][-1] == [0.22e9, 0.33e9]
    assert by_macs["y"][-1] == [0.78, 0.83]
    assert by_macs["error_y.array"][-1] == pytest.approx([0.03, 0.02])
    assert axis["xaxis.title.text"] == "multiply-accumulates per example"


def test_a_network_that_was_not_deployed_has_no_place_on_the_axis_of_latency(deployed_result: StudyResult) -> None:
    idle = replace(deployed_result.front[1], latency_ms=None)
    figure = frontier(replace(deployed_result, front=(deployed_result.front[0], idle)))
    assert figure is not None
    assert _traces(figure)["confirmed students"]["x"] == [2.0, None]


def test_runtimes_are_drawn_with_the_numbers_of_their_trials(deployed_result: StudyResult) -> None:
    figure = runtimes(deployed_result)
    assert figure is not None
    assert list(_traces(figure)) == ["onnx", "onnx-int8", "torch", "torch-bf16", "teacher"]
    assert _traces(figure)["onnx-int8"]["x"] == [1.0, 0.8]
    assert _traces(figure)["onnx-int8"]["text"] == ["3", "5"]
    idle = replace(deployed_result, front=tuple(replace(f, forms=()) for f in deployed_result.front))
    assert runtimes(idle) is None


def test_trials_that_somebody_asked_for_are_told_apart(result: StudyResult) -> None:
    asked = replace(result.records[0], role="enqueued")
    figure = tried(replace(result, records=(asked, *result.records[1:])))
    assert figure is not None
    assert len(_traces(figure)["asked for"]["x"]) == 1


def test_the_frontier_draws_intervals_around_test_scores(result: StudyResult) -> None:
    figure = frontier(result)
    assert figure is not None
    students = _traces(figure)["confirmed students"]
    assert students["x"] == [0.22e9, 0.33e9]
    assert students["y"] == [0.78, 0.83]
    assert students["error_y"]["array"] == pytest.approx([0.03, 0.02])
    assert students["error_y"]["arrayminus"] == pytest.approx([0.03, 0.02])
    assert "error_y" not in _traces(figure)["teacher"]
    assert figure.layout["shapes"][0]["y0"] == 0.88


def test_a_button_moves_every_trace_to_the_other_cost(result: StudyResult) -> None:
    figure = frontier(result)
    assert figure is not None
    by_params = figure.layout["updatemenus"][0]["buttons"][1]["args"][0]["x"]
    assert [len(xs) for xs in by_params] == [len(trace["x"]) for trace in figure.data]
    assert by_params[-1] == [12e6 + 3.6e6, 12e6 + 5.4e6]


def test_a_score_of_zero_keeps_its_interval(result: StudyResult) -> None:
    zero = replace(result.front[0], test_score=0.0, test_low=-0.1, test_high=0.0)
    figure = frontier(replace(result, front=(zero,)))
    assert figure is not None
    assert _traces(figure)["confirmed students"]["error_y"]["array"] == [0.0]


def test_progress_is_drawn_in_the_unit_of_the_budget(result: StudyResult) -> None:
    figure = progress(result)
    assert figure is not None
    assert _traces(figure)["random arm"]["x"] == [100 / 60, 200 / 60]
    assert _traces(figure)["best proposed"]["y"] == [0.80, 0.80, 0.84, 0.84, 0.84]
    assert figure.layout["xaxis"]["title"]["text"] == "budget spent (cpu-min)"


def test_nothing_is_drawn_of_what_is_not_there(result: StudyResult) -> None:
    empty = replace(
        result, records=(), front=(), controls=(), teacher=None, importances={}, spent={}, shared_seconds=0.0
    )
    assert figures(empty) == []
    assert importance(replace(result, importances={"score": {"lr": 0.0}})) is None


def test_texts_of_the_user_cannot_become_markup_of_a_chart(result: StudyResult) -> None:
    evil = replace(result.front[0], name="<b>x</b>")
    figure = frontier(replace(result, front=(evil,)))
    assert figure is not None
    assert "&lt;b&gt;x" in _traces(figure)["confirmed students"]["text"][0]


def test_importances_show_the_largest_at_the_top_and_say_how_many_are_left_out(result: StudyResult) -> None:
    shares = {f"p{k:02}": k / 190 for k in range(20)}
    figure = importance(replace(result, importances={"score": shares}))
    assert figure is not None
    assert figure.data[0]["y"] == [f"p{k:02}" for k in range(8, 20)]
    assert "12 largest of 20 parameters" in figure.caption
