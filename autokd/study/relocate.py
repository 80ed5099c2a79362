"""A study's paths in a form that travels: relative to its folder, and absolute again where it arrives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autokd.core.canonical import Json
from autokd.core.errors import StorageError
from autokd.core.paths import NO_PATH, with_paths

HERE = "@study"  # stands for the study's own folder


def detached(value: Json, roots: Mapping[str, str]) -> Json:
    """The value with every path below one of ``roots`` written as that root's new name; other paths are left out.

    ``roots`` maps absolute folders to names that begin with ``HERE``.
    """
    moved = _mapped(value, lambda text: _moved(text, roots))
    return with_paths(moved, lambda text: text if _is_inside(text) else "")


def attached(value: Json, folder: Path) -> Json:
    """The value with ``HERE`` replaced by the study's folder.

    Raises StorageError where one of its paths leaves that folder.
    """
    for text in _paths(value):
        if text not in NO_PATH and not _is_inside(text):
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


def _paths(value: Json) -> Iterator[str]:
    """Every path in the value."""
    found: list[str] = []

    def seen(text: str) -> str:
        found.append(text)
        return text

    with_paths(value, seen)
    yield from found
