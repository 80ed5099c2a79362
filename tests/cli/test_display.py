from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from autokd.cli.display import LINE_SECONDS, Display, line, panel
from autokd.study.view import FrontPoint, StudyView

VIEW = StudyView(
    study="first",
    phase="search",
    counts={"complete": 3, "pruned": 0, "failed": 1, "paused": 0, "running": 2},
    spent=4.25,
    limit=20.0,
    unit="cpu-min",
    seconds_left=470.0,
    front=(FrontPoint(2, 0.84, 17.4e6, 330e6), FrontPoint(5, 0.79, 15.6e6, 220e6)),
    jobs=("trial-6", "trial-7"),
    message="trial-5 complete",
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_line_tells_trials_budget_forecast_and_the_best() -> None:
    assert line(VIEW) == (
        "[search] | trials: 3 complete, 1 failed, 2 running | 4.25 of 20 cpu-min, about 7.833 min to go"
        " | best 0.8400 (trial 2), 2 on the front"
    )


def test_a_forecast_that_nobody_knows_is_not_shown() -> None:
    assert "to go" not in line(replace(VIEW, seconds_left=float("inf")))


def test_the_panel_shows_the_frontier_by_cost() -> None:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(panel(VIEW))
    shown = capture.get()
    assert "running: trial-6, trial-7" in shown
    assert shown.index("0.7900") < shown.index("0.8400")


def test_the_bar_grows_with_the_budget_and_never_past_its_end() -> None:
    for spent, blue in ((0.0, 0), (10.0, 16), (30.0, 32)):
        head = panel(replace(VIEW, spent=spent)).renderables[0]
        assert isinstance(head, Text)
        assert sum(span.end - span.start for span in head.spans if span.style == "blue") == blue


def test_plain_lines_come_when_something_ends_or_a_while_has_passed(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Display(clock=clock) as display:
        display(VIEW)
        assert len(_shown(capsys)) == 1
        display(replace(VIEW, spent=4.5, message="trial-6: step 20"))
        display(replace(VIEW, counts={**VIEW.counts, "running": 1}))
        assert _shown(capsys) == []
        display(replace(VIEW, counts={**VIEW.counts, "complete": 4}))
        assert "4 complete" in _shown(capsys)[0]
        clock.now += LINE_SECONDS
        display(replace(VIEW, counts={**VIEW.counts, "complete": 4}))
        assert len(_shown(capsys)) == 1


def test_verbose_lines_tell_each_event_and_quiet_ones_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(1, clock=Clock()) as display:
        display(VIEW)
        display(replace(VIEW, message="trial-6: step 20"))
    assert [text.rpartition(" | ")[2] for text in _shown(capsys)] == ["trial-5 complete", "trial-6: step 20"]
    with Display(-1, clock=Clock()) as display:
        display(VIEW)
    assert _shown(capsys) == []
