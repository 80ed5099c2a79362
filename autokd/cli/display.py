"""A search as it goes: one live panel on a terminal, plain lines elsewhere. All of it goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from autokd.cli.output import seconds
from autokd.report.marks import short
from autokd.report.pipelines import number
from autokd.study.view import StudyView

LINE_SECONDS = 15.0  # between plain lines that only report time passing
_BAR = 32


class Display:
    """Shows views of a study. A context manager; ``verbosity`` -1 shows nothing, 0 the study, 1 each event too."""

    def __init__(self, verbosity: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal and verbosity >= 0
            else None
        )
        self._verbosity, self._clock = verbosity, clock
        self._last: StudyView | None = None
        self._printed = float("-inf")

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, view: StudyView) -> None:
        """Show the study as it is now."""
        if self._verbosity < 0:
            return
        if self._live is not None:
            if self._verbosity > 0 and view.message and (self._last is None or self._last.message != view.message):
                self._console.print(Text(view.message, style="dim"))
            self._live.update(panel(view))
        elif self._due(view):
            print(line(view, with_message=self._verbosity > 0), file=sys.stderr, flush=True)
            self._printed = self._clock()
        self._last = view

    def _due(self, view: StudyView) -> bool:
        """Whether a plain line is worth printing: something ended, a phase began, or a while has passed."""
        last = self._last
        if last is None or self._clock() - self._printed >= LINE_SECONDS:
            return True
        ended = (dict(view.counts, running=0), view.phase) != (dict(last.counts, running=0), last.phase)
        return ended or (self._verbosity > 0 and view.message != last.message)


def line(view: StudyView, *, with_message: bool = False) -> str:
    """A study as one plain line."""
    parts = [f"[{view.phase}]", _trials(view), _budget(view)]
    if view.front:
        best = max(view.front, key=lambda point: point.score)
        parts.append(f"best {best.score:.4f} (trial {best.trial}), {len(view.front)} on the front")
    if with_message and view.message:
        parts.append(view.message)
    return " | ".join(parts)


def panel(view: StudyView) -> Group:
    """A study as several lines with its frontier so far."""
    share = min(view.spent / view.limit, 1.0) if view.limit > 0 else 0.0
    filled = round(share * _BAR)
    head = Text.assemble(
        (f"{view.study}  ", "bold"),
        (f"{view.phase}  ", "cyan"),
        ("━" * filled, "blue"),
        ("━" * (_BAR - filled), "bright_black"),
        f"  {_budget(view)}",
    )
    parts: list[Text | Table] = [head, Text(_trials(view))]
    if view.jobs:
        parts.append(Text("running: " + ", ".join(view.jobs), style="dim", overflow="ellipsis", no_wrap=True))
    if view.front:
        parts.append(_front(view))
    return Group(*parts)


def _front(view: StudyView) -> Table:
    table = Table(title="frontier so far (validation, one seed)", title_justify="left", box=None, pad_edge=False)
    for head in ("trial", "score", "params", "MACs"):
        table.add_column(head, justify="right")
    for point in sorted(view.front, key=lambda point: point.macs):
        table.add_row(str(point.trial), f"{point.score:.4f}", short(point.params), short(point.macs))
    return table


def _trials(view: StudyView) -> str:
    return "trials: " + (", ".join(f"{n} {state}" for state, n in view.counts.items() if n) or "none yet")


def _budget(view: StudyView) -> str:
    left = "" if view.seconds_left in (0.0, float("inf")) else f", about {seconds(view.seconds_left)} to go"
    return f"{number(view.spent)} of {number(view.limit)} {view.unit}{left}"
