from __future__ import annotations

from collections.abc import Callable

from autokd.study.clock import Forward
from autokd.study.simulate import VirtualClock
from autokd.testing.toy_work import toy_outcome
from tests.study.conftest import ToyStudy


def test_time_goes_on_from_where_it_was_when_the_clock_goes_back() -> None:
    now = [100.0]
    clock = Forward(lambda: now[0])
    seen = []
    for now[0] in (101.0, 5.0, 7.0, 6.0, 10.0):
        seen.append(clock())
    assert seen == [101.0, 101.0, 103.0, 103.0, 107.0]


class _Jumping(VirtualClock):
    """A clock that is set back by an hour once, in the middle of a study."""

    def __call__(self) -> float:
        return self.now - (3600.0 if self.now > 30.0 else 0.0)


def test_a_study_on_a_clock_that_goes_back_spends_no_more_than_it_may(toy: Callable[..., ToyStudy]) -> None:
    study = toy("2cpu-min", workers=2)
    study.clock = _Jumping()
    found = study.run(toy_outcome)
    assert found.finished
    assert found.states["running"] == 0
    assert all(record.device_seconds >= 0 for record in found.records)
    assert sum(record.device_seconds for record in found.records) <= 120.0
