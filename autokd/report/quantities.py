"""Quantities with their units, as people read them."""

from __future__ import annotations


def ms(value: float) -> str:
    """A time in milliseconds, to three digits: ``0.85 ms``, ``12.3 ms``, ``1,250 ms``."""
    return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def times(ratio: float) -> str:
    """A ratio of speeds: ``5.3×``."""
    return f"{ratio:.1f}×" if ratio < 100 else f"{ratio:.0f}×"


def size(n_bytes: float) -> str:
    """A number of bytes: ``512 kB``, ``22.7 MB``."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"


def short(value: float) -> str:
    """A count in three digits: ``22.7M``."""
    for scale, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"
