"""Pipelines that somebody asked a study to try: files in a folder, which its driver takes before it proposes any."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.canonical import digest
from autokd.core.json_files import write_json


@dataclass(frozen=True)
class Waiting:
    """A pipeline that waits, resolved, and its parameters; ``params`` None: it lies outside of the space."""

    file: Path
    pipeline: Mapping[str, Any]
    params: Mapping[str, Any] | None


@dataclass(frozen=True)
class Queue:
    """The pipelines in ``folder``, the first come first. A file appears whole or not at all."""

    folder: Path

    def put(self, pipeline: Mapping[str, Any], params: Mapping[str, Any] | None) -> Path:
        """Put a resolved pipeline behind the others; the file that holds it. One that waits already stays in place."""
        name = digest(pipeline)
        self.folder.mkdir(parents=True, exist_ok=True)
        found = next(self.folder.glob(f"*-{name}.json"), None)
        path = found or self.folder / f"{time.time_ns():020d}-{name}.json"
        if found is None:
            write_json(path, {"pipeline": dict(pipeline), "params": None if params is None else dict(params)})
        return path

    def waiting(self) -> tuple[Waiting, ...]:
        """What waits, the first come first. A file that is no pipeline's is left where it lies."""
        found = []
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                found.append(Waiting(path, value["pipeline"], value["params"]))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # removed meanwhile, or somebody else's file
        return tuple(found)
