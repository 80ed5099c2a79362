"""Folders that appear whole or not at all, and what they hold as a hash."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from autokd.core.disk import naming


@lru_cache(maxsize=16)
def folder_content(folder: str) -> str:
    """A hash of the files in a pretrained model's folder (weights, configuration, tokenizer), or of one file: 20 hex
    digits."""
    found, place = hashlib.sha256(), Path(folder)
    for path in [place] if place.is_file() else sorted(place.iterdir()):
        if path.is_file():
            found.update(path.name.encode())
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:20]


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place at the end; on an error nothing is left of it.

    A folder that is already there is replaced. Two writers at once: the last one wins.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with naming(folder):
            yield work
        work.chmod(0o755)  # mkdtemp's own mode keeps everyone else out
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(old / "was")
            work.rename(folder)
            shutil.rmtree(old)
        else:
            work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
