"""Whether anything listens where a Ray cluster should be, asked once and quickly: Ray itself asks for minutes."""

from __future__ import annotations

import re
import socket

from autokd.core.errors import AutokdError, UsageError

TIMEOUT_S = 5.0
_FORM = re.compile(r"(?:ray://)?(?P<host>[^:/\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


def require_listener(address: str, timeout_s: float = TIMEOUT_S) -> None:
    """Raises UsageError for an address that is not HOST:PORT, AutokdError where nobody answers within ``timeout_s``.

    ``auto`` and ``local`` are Ray's own words and passed on.
    """
    if address in ("auto", "local"):
        return
    found = _FORM.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise UsageError(f"the address of a Ray cluster is HOST:PORT, such as 10.0.0.1:6379, but got {address!r}.")
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout_s).close()
    except OSError as error:
        reason = (error.strerror or str(error) or "no answer").lower()
        raise AutokdError(
            f"a Ray cluster must answer at {address!r}, but: {reason}. Start one with `ray start --head`; without "
            "--address autokd uses a Ray of its own."
        ) from error
