"""Errors that a user can act on: each says the rule, the value, and what is available."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutokdError(Exception):
    """Something went wrong while running; the command line prints it as one line and exits with 1."""

    exit_code = 1


class UsageError(AutokdError):
    """What was asked for cannot be meant (unknown name, bad option); exit code 2."""

    exit_code = 2


class SpecError(UsageError):
    """A pipeline, a search space or a method's fields break a rule."""


class DataError(AutokdError):
    """A data set is missing, empty, or not of the form its reader expects."""


class BudgetError(UsageError):
    """A budget that cannot be read, or that this machine cannot spend."""


class StorageError(AutokdError):
    """The study's storage cannot be reached, read or written."""


class TrainingError(AutokdError):
    """Training cannot go on: a loss that is not finite, a model that does not fit."""


class Paused(Exception):  # noqa: N818 - not an error: the trial can go on from its checkpoint
    """Raised by the training loop once its state is saved, when a deadline or a stop request is seen."""


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """One line for an unknown name: what was asked for, the nearest match, and all that exists."""
    names = sorted(available)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Available: {', '.join(names) or 'none'}."
