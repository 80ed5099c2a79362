"""Checks of hyperparameters: each raises SpecError with the rule and the value."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from autokd.core.errors import SpecError

_LARGEST = sys.float_info.max  # JSON knows Infinity, and whole numbers beyond all floats


def refusal(method: object, field: str, rule: str, value: object) -> SpecError:
    """The error for a field that breaks a rule, to be raised."""
    return SpecError(f"{type(method).__name__}.{field} must be {rule}, but got {value!r}.")


def whole(method: object, field: str, low: int, high: int | None = None) -> None:
    """The field must be an integer of at least ``low`` and, where given, at most ``high``."""
    value: Any = getattr(method, field)
    rule = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise refusal(method, field, rule, value)


def number(method: object, field: str, low: float, high: float = _LARGEST) -> None:
    """The field must be a finite number in [low, high]."""
    value: Any = getattr(method, field)
    rule = f"a finite number of at least {low:g}" if high == _LARGEST else f"a number from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise refusal(method, field, rule, value)


def above(method: object, field: str, low: float) -> None:
    """The field must be a finite number above ``low``."""
    value: Any = getattr(method, field)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low < value <= _LARGEST:
        raise refusal(method, field, f"a finite number above {low:g}", value)


def share(method: object, field: str) -> None:
    """The field must be a share of something of which at least a part stays: a number in (0, 1]."""
    value: Any = getattr(method, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise refusal(method, field, "a number above 0 and at most 1", value)


def one_of(method: object, field: str, options: Sequence[str]) -> None:
    """The field must be one of these texts."""
    value: Any = getattr(method, field)
    if value not in options:
        raise refusal(method, field, "one of " + ", ".join(options), value)


def boolean(method: object, field: str) -> None:
    """The field must be true or false."""
    value: Any = getattr(method, field)
    if not isinstance(value, bool):
        raise refusal(method, field, "true or false", value)


def loop(method: object) -> None:
    """The fields that every stage with a training loop has: epochs, batch_size, warmup_share, clip_norm and dropout."""
    above(method, "epochs", 0)
    whole(method, "batch_size", 1)
    number(method, "warmup_share", 0, 0.999)
    number(method, "clip_norm", 0)
    if getattr(method, "dropout", None) is not None:
        number(method, "dropout", 0, 0.999)


def methods(method: object, field: str, *kinds: str) -> None:
    """The field must be a tuple of methods of these kinds."""
    value: Any = getattr(method, field)
    if not isinstance(value, tuple):
        raise refusal(method, field, "a list of methods", value)
    for item in value:
        if getattr(item, "kind", None) not in kinds:
            raise refusal(method, field, f"a list of methods of kind {' or '.join(kinds)}", item)


def nested(method: object, field: str, kind: str) -> None:
    """The field must hold one method of this kind."""
    value: Any = getattr(method, field)
    if getattr(value, "kind", None) != kind:
        raise refusal(method, field, f"a method of kind {kind}", value)
