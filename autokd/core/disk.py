"""What to say where the operating system will not read or write a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_ROOM = os.strerror(errno.ENOSPC)  # how libraries that write files themselves spell it in errors of their own
_FULL = (errno.ENOSPC, errno.EDQUOT)


def usual_mode() -> int:
    """The permissions of a new file as the user's umask has them, for files that libraries make private."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within, an error of the operating system that names no file names ``path``: a full disk says nothing else."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def refusal(error: OSError) -> str:
    """One line: what cannot be done, with which file."""
    named = " and ".join(repr(str(name)) for name in (error.filename, error.filename2) if name)
    if error.errno in _FULL:
        return "the disk is full" + (f"; it has no room for {named}." if named else ".")
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return f"a file cannot be read or written: {named + ': ' if named else ''}{reason}."
