"""JSON files that are whole or absent, whatever kills the writer."""

from __future__ import annotations

import json
from pathlib import Path

from autokd.core.canonical import Json


def write_json(path: Path, value: Json) -> None:
    """Write the value under another name, then give it its own: a reader never meets half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value))
    part.replace(path)
