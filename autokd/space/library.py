"""Finds search spaces: those that ship with autokd, by name, and files, by path."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from autokd.core.errors import UsageError, unknown

_PACKAGE = "autokd._spaces"  # where the folder search_spaces/ of the sources is installed


def find_space(name_or_path: str) -> tuple[str, str]:
    """The name and the text of a space: one that ships with autokd (``basics``), or a YAML file.

    Raises UsageError for an unknown name, listing those there are, and for a missing file.
    """
    shipped = {path.stem: path for path in shipped_spaces()}
    if name_or_path in shipped:
        return name_or_path, shipped[name_or_path].read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        raise UsageError(unknown("search space", name_or_path, shipped) + " A file's name ends in .yaml.")
    if not path.is_file():
        raise UsageError(f"a search space must be a file that exists, but there is none at {name_or_path!r}.")
    return path.stem, path.read_text(encoding="utf-8")


def shipped_spaces() -> list[Path]:
    """The YAML files that ship with autokd, sorted by name."""
    return sorted(path for folder in _folders() for path in folder.glob("*.yaml"))


def _folders() -> list[Path]:
    """Where they are: in the installed package, or beside it in a checkout."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None:
        return [Path(folder) for folder in spec.submodule_search_locations or ()]
    return [Path(__file__).resolve().parents[2] / "search_spaces"]
