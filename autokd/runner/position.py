"""How far a trial is: which stages are done, what they left, and the curve of its scores."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from autokd.contracts import Models
from autokd.core.job import Progress
from autokd.core.json_files import write_json
from autokd.runner.tokenizers import Assets, fetch_slot, keep_slot

_NAME, _OLD = "position", "position.old"


@dataclass
class Position:
    """Stages done, and the models they left."""

    done: int
    models: Models


class Curve:
    """A job's scores by stage and step, kept in its folder so that a pause or a crash loses none.

    A step that is made again after a crash replaces its point.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "curve.json"
        self.points: list[dict[str, float]] = json.loads(self._path.read_text()) if self._path.is_file() else []

    def add(self, progress: Progress) -> None:
        """One more point, written at once."""
        point = asdict(progress)
        others = [p for p in self.points if (p["stage"], p["step"]) != (point["stage"], point["step"])]
        self.points = [*others, point]
        write_json(self._path, self.points)


def save_position(folder: Path, position: Position, shared: Models, assets: Assets) -> None:
    """Write the position; slots that the shared prefix holds are named, not copied. ``assets`` are the base models."""
    part = Path(tempfile.mkdtemp(prefix=_NAME + ".part.", dir=folder))
    kept = {slot.content: name for name, slot in shared.items()}
    slots = {}
    for name, slot in position.models.items():
        if slot.content not in kept:
            keep_slot(slot, part / name, assets)
            slots[name] = {"folder": name}
        else:
            slots[name] = {"shared": kept[slot.content]}
    (part / "position.json").write_text(json.dumps({"done": position.done, "slots": slots}))
    shutil.rmtree(folder / _OLD, ignore_errors=True)
    if (folder / _NAME).exists():
        (folder / _NAME).replace(folder / _OLD)
    part.replace(folder / _NAME)
    shutil.rmtree(folder / _OLD, ignore_errors=True)


def load_position(folder: Path, start: Position, assets: Assets) -> Position:
    """The saved position, or ``start`` where there is none.

    A crash between the two renames of a save leaves only the previous position, which serves as well.
    """
    shared = start.models
    for name in (_NAME, _OLD):
        path = folder / name / "position.json"
        if path.is_file():
            found = json.loads(path.read_text())
            slots = {}
            for slot, place in found["slots"].items():
                own = "folder" in place
                slots[slot] = fetch_slot(path.parent / place["folder"], assets) if own else shared[place["shared"]]
            return Position(found["done"], Models(slots))
    return start


def clear_positions(folder: Path) -> None:
    """Remove saved positions and loop states once the trial's checkpoint is whole."""
    for path in [*folder.glob(_NAME + "*"), *folder.glob("loop-*")]:
        shutil.rmtree(path, ignore_errors=True)
