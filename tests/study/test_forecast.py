from __future__ import annotations

import pytest

from autokd.study.forecast import at_least, calibrate


def test_before_any_trial_the_probe_is_all_there_is() -> None:
    assert calibrate(2e-9, []).seconds(1e10) == pytest.approx(20.0)


def test_the_probe_counts_as_one_trial() -> None:
    # geometric mean of 1 and 4 nanoseconds
    assert calibrate(1e-9, [(1e10, 40.0)]).seconds(1e10) == pytest.approx(20.0)


def test_an_overhead_is_found_in_finished_trials() -> None:
    seen = [(m * 1e9, 5.0 + 2.0 * m) for m in (1, 2, 4, 8)]
    found = calibrate(1e-8, seen)
    assert found.overhead == pytest.approx(5.0)
    assert found.seconds(1e10) == pytest.approx(25.0)
    assert found.margin == 1.05


def test_trials_that_are_all_alike_give_no_line_but_their_mean() -> None:
    found = calibrate(1e-9, [(1e9, 2.0)] * 9)
    assert found.overhead == 0.0
    assert found.seconds(1e9) == pytest.approx(2.0**0.9)


def test_a_line_that_makes_no_sense_is_not_used() -> None:
    falling = [(1e9, 9.0), (2e9, 6.0), (4e9, 3.0), (8e9, 1.0)]
    assert calibrate(1e-9, falling).seconds(1e9) > 0


def test_the_margin_covers_four_of_five_and_is_bounded() -> None:
    noisy = [(1e9, seconds) for seconds in (1.0, 1.0, 1.0, 1.3, 9.0)]
    found = calibrate(1e-9, noisy)
    assert found.margin == pytest.approx(max(1.3 / found.seconds(1e9), 1.05))
    alike = [(1e9, seconds) for seconds in (1.0, 1.0, 1.0, 1.3, 1.3)]
    assert calibrate(1e-9, alike).margin == pytest.approx(1.3 / 1.69 ** (1 / 6))
    assert calibrate(1e-9, [(1e9, 1.0)] * 3 + [(1e9, 99.0)] * 3).margin == 1.5


def test_runs_without_training_teach_nothing() -> None:
    assert calibrate(2e-9, [(0.0, 3.0)]).seconds(1e9) == pytest.approx(2.0)


def test_longer_work_may_make_the_probe_dearer_but_not_much() -> None:
    assert at_least(1.0, ()) == 1.0
    assert at_least(1.0, (0.2,)) == 1.0
    assert at_least(1.0, (1.3, 0.9)) == 1.3
    assert at_least(1.0, (7.0,)) == 1.5
