"""A study's paths in a form that travels: relative to its folder, and absolute again where it arrives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autokd.core.canonical import Json
from autokd.core.errors import StorageError

HERE = "@study"  # stands for the study's own folder
# Where paths stand in a study's text: under these keys, and under every key of what these hold.
_PATHS = ("checkpoint", "folder", "task")
_PATH_MAPS = ("predictions", "assets")
_NO_PATH = ("", "none")  # how an absent checkpoint is written down
_OPAQUE = ("pipeline", "params")  # whose fields are the methods' own


def detached(value: Json, roots: Mapping[str, str]) -> Json:
    """The value with every path below one of ``roots`` written as that root's new name; other paths are left out.

    ``roots`` maps absolute folders to names that begin with ``HERE``.
    """
    moved = _mapped(value, lambda text: _moved(text, roots))
    return _with_paths(moved, lambda text: text if _is_inside(text) else "")


def attached(value: Json, folder: Path) -> Json:
    """The value with ``HERE`` replaced by the study's folder.

    Raises StorageError where one of its paths leaves that folder.
    """
    for text in _paths(value):
        if text not in _NO_PATH and not _is_inside(text):
            raise StorageError(f"the paths of an imported study lie in its own folder, but it names {text!r}.")
    return _mapped(value, lambda text: _moved(text, {HERE: str(folder)}))


def _is_inside(text: str) -> bool:
    parts = text.split("/")
    return parts[0] == HERE and len(parts) > 1 and not {"", ".", ".."} & set(parts) and "\\" not in text


def _moved(text: str, roots: Mapping[str, str]) -> str:
    for old, new in roots.items():
        if text == old or text.startswith(old + "/"):
            return new + text.removeprefix(old)
    return text


def _mapped(value: Json, change: Any) -> Json:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(child, change) for key, child in value.items()}
    return [_mapped(child, change) for child in value] if isinstance(value, list) else value


def _with_paths(value: Json, change: Any) -> Json:
    """The value with ``change`` applied to each of its paths."""
    if isinstance(value, list):
        return [_with_paths(child, change) for child in value]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for key, child in value.items():
        if key in _PATHS and isinstance(child, str):
            found[key] = child if child in _NO_PATH else change(child)
        elif key in _PATH_MAPS and isinstance(child, Mapping):
            found[key] = {name: change(path) if isinstance(path, str) else path for name, path in child.items()}
        elif key in _OPAQUE:
            found[key] = child
        else:
            found[key] = _with_paths(child, change)
    return found


def _paths(value: Json) -> Iterator[str]:
    """Every path in the value."""
    found: list[str] = []

    def seen(text: str) -> str:
        found.append(text)
        return text

    _with_paths(value, seen)
    yield from found
