"""Texts of no task, to learn from without labels: a file with one text a line, plain or compressed."""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache
from pathlib import Path

from autokd.core.errors import DataError
from autokd.tasks.text_files import read_text

CORPUS = "corpus"  # what the file is called in a folder of its own


def read_corpus(place: Path) -> tuple[str, ...]:
    """The texts of a corpus, empty lines left out. ``place``: the file (``.gz``: compressed), or the folder it lies in.

    Raises DataError where there is none, where it is not UTF-8 text, and where no text is in it.
    """
    return _read(str(place))


@lru_cache(maxsize=2)
def _read(place: str) -> tuple[str, ...]:
    file = Path(place)
    if file.is_dir():
        found = sorted(file.glob(f"{CORPUS}*"))
        if not found:
            raise DataError(f"a corpus' folder holds a file {CORPUS}.txt or {CORPUS}.txt.gz, but {place!r} has none.")
        file = found[0]
    lines = (_unpacked(file) if file.suffix == ".gz" else read_text(file)).split("\n")
    texts = tuple(line for line in map(str.strip, lines) if line)
    if not texts:
        raise DataError(f"a corpus has one text a line, but {str(file)!r} is empty.")
    return texts


def _unpacked(file: Path) -> str:
    try:
        return gzip.decompress(file.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"a corpus must be UTF-8 text, compressed by gzip, but {str(file)!r} is not: {error}."
        ) from error
