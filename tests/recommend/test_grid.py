"""Points of a grid, proposed one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from autokd.recommend.grid import propose_point

SIZES = {"a": 3, "b": 2}


def everything(point: Mapping[str, int]) -> bool:
    return True


def test_no_point_comes_twice_and_all_of_a_small_grid_come() -> None:
    tried: list[tuple[Mapping[str, int], float]] = []
    while (point := propose_point(SIZES, tried, 1, everything)) is not None:
        assert all(0 <= point[name] < size for name, size in SIZES.items())
        tried.append((point, float(point["a"])))
    assert len({tuple(point.items()) for point, _ in tried}) == len(tried) == 6


def test_equal_arguments_give_equal_points() -> None:
    sizes = {"a": 50, "b": 50}
    tried = [({"a": i, "b": i}, abs(i - 20.0)) for i in range(0, 50, 2)]
    one, two = (propose_point(sizes, tried, 7, everything) for _ in range(2))
    assert one == two
    assert any(propose_point(sizes, tried, seed, everything) != one for seed in range(3))


def test_what_is_not_accepted_is_not_proposed() -> None:
    assert propose_point(SIZES, (), 1, lambda point: point["a"] == 2 and point["b"] == 1) == {"a": 2, "b": 1}
    assert propose_point(SIZES, (), 1, lambda point: False) is None
