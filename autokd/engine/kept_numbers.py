"""Numbers that are dear to compute, kept in a file of lines: computed once for whoever asks for the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autokd.core.disk import naming
from autokd.core.errors import Paused
from autokd.engine.locks import held

Name = tuple[str | int | float, ...]  # what a number belongs to, within its file


class KeptNumbers:
    """A file with one JSON line per number: its name's parts, then itself. A line that a kill cut off is none."""

    def __init__(self, file: Path, should_pause: Callable[[], bool], what: str) -> None:
        self._file, self._should_pause, self._what = file, should_pause, what
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        if text and not text.endswith("\n"):
            file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        self._known: dict[Name, float] = {tuple(name): float(number) for *name, number in map(json.loads, lines)}

    def of(self, name: Name, compute: Callable[[], float]) -> float:
        """The number of that name. Raises Paused when asked to stop before one that is not known yet."""
        if name not in self._known:
            if self._should_pause():
                raise Paused(f"after {len(self._known)} {self._what}")
            self._known[name] = compute()
            with naming(self._file), self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*name, self._known[name]]) + "\n")
        return self._known[name]


@contextmanager
def kept_numbers(file: Path, should_pause: Callable[[], bool], what: str) -> Iterator[KeptNumbers]:
    """The numbers in a file, which may be none yet; nobody else computes them meanwhile. ``what`` they are, in words.

    Raises Paused when asked to stop while another worker computes them.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file.with_suffix(".lock"), should_pause, what):
        yield KeptNumbers(file, should_pause, what)
