"""Texts that models wrote, kept by content: whoever asks for the same ones again reads them.

A file holds one JSON string per line, in the order of the source texts; under its own name it is complete. Whoever
fills it holds its lock, leaves what was written when stopped, and continues what another one left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from autokd.contracts import Context
from autokd.core.canonical import Json, digest
from autokd.core.disk import naming
from autokd.core.errors import Paused
from autokd.core.json_files import write_text
from autokd.engine.locks import held

_CHUNK = 64  # texts between two chances to stop: part of what the numbers depend on, as their order is
_VERSION = 1

Rewrite = Callable[[Sequence[str], int], Sequence[str]]


def written_texts(texts: Sequence[str], key: Json, load: Callable[[], Rewrite], ctx: Context) -> tuple[str, ...]:
    """The texts as a model rewrites them, from the cache where they were written before.

    ``key`` names everything beside the texts that decides the result. ``load()`` is called where something is missing;
    what it gives is called with some of the texts and the position of the first of them. Raises Paused when asked to
    stop.
    """
    path = ctx.cache / "texts" / f"{digest([_VERSION, key, _content(texts), ctx.device.type])}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path.with_suffix(".lock"), ctx.should_pause, "texts"):
            if not path.is_file():
                _fill(path, texts, load, ctx)
    return tuple(_lines(path))


def _fill(path: Path, texts: Sequence[str], load: Callable[[], Rewrite], ctx: Context) -> None:
    part = path.with_suffix(".part")
    known = _lines(part) if part.is_file() else []
    known = known[: len(known) // _CHUNK * _CHUNK]  # a chunk that was killed half-way is made again
    write_text(part, "".join(map(_line, known)))
    rewrite = load()
    for start in range(len(known), len(texts), _CHUNK):
        if ctx.should_pause():
            raise Paused(f"while rewriting texts, at {start} of {len(texts)}")
        made = rewrite(texts[start : start + _CHUNK], start)
        with naming(part), part.open("a", encoding="utf-8") as file:
            file.write("".join(map(_line, made)))
    with naming(path):
        part.replace(path)


def _lines(path: Path) -> list[str]:
    """The whole lines of a file: the last one may be cut off by a kill."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _line(text: str) -> str:
    return json.dumps(text) + "\n"  # ASCII alone: no character of a text can end a line


def _content(texts: Sequence[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(_line(text).encode())
    return found.hexdigest()[:20]
