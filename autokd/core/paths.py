"""Paths in a study's text: relative to the folder that they lie in, so that a study and its files can be moved.

A path that lies elsewhere stays absolute. Texts of older versions hold absolute paths only; one that is not there any
more is looked for by its tail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autokd.core.canonical import Json

# Where paths stand in a study's text: under these keys, and under every key of what these hold.
_PATHS = ("checkpoint", "folder", "task")
_PATH_MAPS = ("predictions", "assets")
_OPAQUE = ("pipeline", "params")  # whose fields are the methods' own
NO_PATH = ("", "none")  # how an absent checkpoint is written down


def with_paths(value: Json, change: Callable[[str], str]) -> Json:
    """The value with ``change`` applied to each of its paths."""
    if isinstance(value, (list, tuple)):
        return [with_paths(child, change) for child in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Json] = {}
    for key, child in value.items():
        if key in _PATHS and isinstance(child, str):
            found[key] = child if child in NO_PATH else change(child)
        elif key in _PATH_MAPS and isinstance(child, Mapping):
            found[key] = {name: change(path) if isinstance(path, str) else path for name, path in child.items()}
        elif key in _OPAQUE:
            found[key] = child
        else:
            found[key] = with_paths(child, change)
    return found


def portable(value: Json, root: Path) -> Json:
    """The value with every path below ``root`` written relative to it."""

    def shortened(path: str) -> str:
        given = Path(path)
        return given.relative_to(root).as_posix() if given.is_relative_to(root) and given != root else path

    return with_paths(value, shortened)


def located(value: Json, root: Path, tops: Sequence[str]) -> Json:
    """The value with absolute paths only; relative ones lie below ``root``, whose folders are called ``tops``.

    An absolute path that does not exist gives way to its tail below ``root``, if that does: the tail begins at one of
    ``tops``.
    """
    return with_paths(value, lambda path: _located(path, root, tops))


def _located(path: str, root: Path, tops: Sequence[str]) -> str:
    given = Path(path)
    if not given.is_absolute():
        return str(root / given)
    if given.is_relative_to(root) or given.exists():
        return path
    tails = (root.joinpath(*given.parts[i:]) for i, part in enumerate(given.parts) if part in tops)
    return str(next((tail for tail in tails if tail.exists()), given))
