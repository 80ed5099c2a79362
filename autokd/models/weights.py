"""Weights in safetensors, and one clear error for a file that is none, or not all of one."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from autokd.core.disk import NO_ROOM, usual_mode
from autokd.core.errors import DataError


def write_weights(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write a file that transformers reads. Raises OSError as other writing does, also where the disk is full."""
    try:
        save_file(dict(tensors), file, metadata={"format": "pt"})
    except SafetensorError as error:
        if NO_ROOM not in str(error):
            raise
        raise OSError(errno.ENOSPC, NO_ROOM, str(file)) from error
    file.chmod(usual_mode())  # the library keeps it to its owner


def read_weights(file: Path) -> dict[str, Tensor]:
    """Every tensor of a file, by its name. Raises DataError where it is missing, damaged or only half there."""
    try:
        found: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error
    return found


def require_whole(file: Path) -> None:
    """Raises DataError as ``read_weights`` does, from the file's header and length: no tensor is read."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = str(error).removeprefix("Error while deserializing header: ").rstrip(".")
    return DataError(f"weights must be a whole safetensors file, but {str(file)!r} is not: {reason}.")
