"""One text for one JSON value, and short content hashes made from it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Json = Any


def canonical(value: Json) -> str:
    """JSON text with sorted keys and no spaces: equal values give equal text. NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Json) -> str:
    """The first 20 hex digits of the SHA-256 of a value's canonical text (80 bits: names, not signatures)."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]
