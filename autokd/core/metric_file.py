"""Metrics of the user's own: what ``FILE.py:FUNCTION`` names, without reading or running it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FORM = "FILE.py:FUNCTION"
_WRITTEN = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*)(?:@(?P<content>[0-9a-f]+))?")


@dataclass(frozen=True)
class MetricFile:
    """A function in a Python file. ``content`` is the file's hash, which a study keeps, empty where none was given."""

    path: Path
    function: str
    content: str = ""

    @staticmethod
    def parse(name: str) -> MetricFile | None:
        """What a metric's name says of a file, None for the name of one of autokd's own metrics."""
        found = _WRITTEN.fullmatch(name)
        return None if found is None else MetricFile(Path(found["file"]), found["function"], found["content"] or "")

    def __str__(self) -> str:
        return f"{self.path}:{self.function}" + (f"@{self.content}" if self.content else "")


def metric_title(name: str) -> str:
    """A metric's name for people: its own, or that of the function."""
    found = MetricFile.parse(name)
    return name if found is None else found.function
