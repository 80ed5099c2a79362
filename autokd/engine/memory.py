"""Keeping memory that training frees, so that the next step finds it warm."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let the C library reuse large freed blocks instead of giving them back; True where that can be said.

    A training step allocates the same megabytes again and again. By default each such block comes fresh from the
    operating system, which clears it page by page: several per cent of a step. Only glibc is known to listen.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    told = [mallopt(_MMAP_THRESHOLD, _LARGEST), mallopt(_TRIM_THRESHOLD, _LARGEST)]
    return all(answer == 1 for answer in told)
