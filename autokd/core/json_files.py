"""JSON files that are whole or absent, whatever kills the writer."""

from __future__ import annotations

import json
from pathlib import Path

from autokd.core.canonical import Json
from autokd.core.disk import naming


def write_json(path: Path, value: Json) -> None:
    """Write the value under another name, then give it its own: a reader never meets half of it."""
    write_text(path, json.dumps(value))


def write_text(path: Path, text: str) -> None:
    """Write a text in the same way."""
    part = path.with_name(path.name + ".part")
    with naming(path):
        part.write_text(text, encoding="utf-8")
        part.replace(path)
