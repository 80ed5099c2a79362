"""Whether code that lies beside a checkpoint may run: only where the user said so, and only for that piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from autokd.core.errors import UsageError

_TRUSTED: ContextVar[bool] = ContextVar("trust_remote_code", default=False)


@contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """Within, a checkpoint's own code may run or not (``--trust-remote-code``); afterwards it is as it was before."""
    before = _TRUSTED.set(trusted)
    try:
        yield
    finally:
        _TRUSTED.reset(before)


def is_trusted() -> bool:
    """Whether a checkpoint's own code may run now; only within ``trusting(True)``."""
    return _TRUSTED.get()


def require_trust(name: str) -> None:
    """Raises UsageError where a model needs its own code and that may not run."""
    if not is_trusted():
        raise code_refused(name)


def code_refused(name: str) -> UsageError:
    """What is said of a model whose own code may not run."""
    return UsageError(
        f"the model {name!r} brings Python code of its own, which runs only with --trust-remote-code: "
        "give that option if you trust its authors, or name a model that transformers knows."
    )
