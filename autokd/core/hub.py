"""Whether the Hugging Face hub answers, asked once and quickly, before any of its libraries starts its long retries."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.error
import urllib.request
from functools import lru_cache

DEFAULT_ENDPOINT = "https://huggingface.co"
_REFUSED_BY_A_PROXY = (403, 407)


def hub_answers(timeout_s: float = 5.0) -> bool:
    """Whether the hub at ``HF_ENDPOINT`` (default huggingface.co) answers within ``timeout_s`` seconds in all.

    Name look-up, connection, TLS and reply share that limit. ``HF_HUB_OFFLINE=1`` means no, without asking. The
    answer is remembered for the life of the process.
    """
    if is_offline():
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or DEFAULT_ENDPOINT
    return _answers(endpoint, timeout_s)


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` asks for no network at all (its libraries then read their caches only)."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}


@lru_cache
def _answers(endpoint: str, timeout_s: float) -> bool:
    """Asks in a thread of its own: a look-up of the name has no time limit that could be set from outside."""
    replies: list[bool] = []
    asking = threading.Thread(target=lambda: replies.append(_replies(endpoint, timeout_s)), daemon=True)
    asking.start()
    asking.join(timeout_s)
    return bool(replies and replies[0])


def _replies(endpoint: str, timeout_s: float) -> bool:
    """One HEAD request. Any reply of the server counts, except what stands for "not reachable from here"."""
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as reply:
        reply.close()
        return reply.code < 500 and reply.code not in _REFUSED_BY_A_PROXY
    except (OSError, ValueError, http.client.HTTPException):
        return False  # no such host, refused, timed out, a bad certificate, a malformed endpoint or reply
