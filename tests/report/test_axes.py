from __future__ import annotations

import pytest

from autokd.report.axes import cost_axis, marks_between


@pytest.mark.parametrize(
    ("low", "high"), [(0.8, 8.0), (15.6e6, 22.7e6), (1.9e7, 2.1e7), (1.0, 2e5), (0.03, 0.04), (1e9, 1e15), (7.0, 9.9)]
)
def test_an_axis_has_a_handful_of_marks_from_end_to_end(low: float, high: float) -> None:
    found = marks_between(low, high)
    assert 3 <= len(found) <= 13
    assert found == sorted(set(found))
    assert low <= found[0] <= low * 2
    assert high / 2 <= found[-1] <= high


def test_marks_stand_at_round_values() -> None:
    assert marks_between(0.8, 8.0) == [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]
    assert marks_between(9.0, 13.0) == [9.0, 10.0, 11.0, 12.0, 13.0]


def test_marks_are_labelled_in_the_unit_of_the_cost() -> None:
    drawn = [{"x": [2e7, None, 2.5e7]}]
    assert "20 MB" in cost_axis("size_bytes", drawn)["ticktext"]
    assert "20M" in cost_axis("params", drawn)["ticktext"]
    assert cost_axis("latency", [{"x": [0.5, 3.0]}])["ticktext"] == ["0.5", "0.7", "1", "1.5", "2", "3"]


def test_an_axis_holds_every_point_with_some_room_even_a_single_one() -> None:
    low, high = cost_axis("macs", [{"x": [1e8]}, {"x": [None, 1e8]}])["range"]
    assert 7.8 < low < 8.0 < high < 8.2
    assert "range" not in cost_axis("macs", [{"x": [None]}])
