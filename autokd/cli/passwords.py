"""A database's password on a command line, where every user of the machine could read it in the list of processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from autokd.store.files import redacted

VARIABLE = "AUTOKD_STORAGE"
_OPTION = "--storage"


def hide_password() -> None:
    """Start this process anew where its command line shows a password: it goes into the environment instead."""
    place = _place(sys.orig_argv)
    if place is None:
        return
    word = sys.orig_argv[place]
    os.environ[VARIABLE] = word.removeprefix(f"{_OPTION}=")
    words = [*sys.orig_argv[:place], redacted(word), *sys.orig_argv[place + 1 :]]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *words[1:]])


def with_password(storage: str) -> str:
    """A storage that was named without its password, with the one that the environment has for it."""
    known = os.environ.get(VARIABLE, "")
    return known if storage == redacted(known) else storage


def _place(words: Sequence[str]) -> int | None:
    """Where a storage's URL with a password stands."""
    for index, word in enumerate(words):
        named = word.startswith(f"{_OPTION}=") or (index > 0 and words[index - 1] == _OPTION)
        if named and redacted(word) != word:
            return index
    return None
