"""More budget for a study, in the unit that it was given in."""

from __future__ import annotations

from autokd.core.budget import Budget, Limit
from autokd.core.errors import BudgetError
from autokd.store.study_store import StudyStore
from autokd.study.memory import Memory


def add_budget(storage: str, study: str, more: str, artifacts: str | None = None) -> str:
    """Raise a limit of a study's budget by ``more``, such as ``2gpu-h``; the text of the new total.

    A study that confirms or has ended searches on when it is resumed. Raises BudgetError for an amount in a unit that
    the study's budget does not limit, UsageError for an unknown study, StorageError while a driver runs it.
    """
    added = Budget.parse(more)
    store = StudyStore.open(storage, study, artifacts)
    with store.lock():
        total = sum_of(Budget.parse(store.settings.budget), added)
        Memory(store).reopen()  # first: a kill between the two leaves a study that can be given more again
        store.update_settings(store.settings.with_changes(budget=total))
    return total


def sum_of(old: Budget, added: Budget) -> str:
    """The text of a budget that allows what both allow, each limit in the unit in which ``old`` has it."""
    for limit in added.limits:
        if old.limit(limit.unit) is None:
            raise BudgetError(
                f"more budget comes in a unit of the old one, {old.text!r}, but got {added.text!r}; "
                "`autokd resume --budget` sets another kind of limit."
            )
    parts = [part.strip() for part in old.text.split(",")]
    return ",".join(_raised(part, added) for part in parts)


def _raised(part: str, added: Budget) -> str:
    """One limit as it was written, with what is added to it."""
    limit: Limit = Budget.parse(part).limits[0]
    unit = part.lstrip("0123456789.").strip()
    number = float(part[: -len(unit)])
    total = number * (1 + (added.limit(limit.unit) or 0.0) / limit.amount)
    return f"{total:.6f}".rstrip("0").rstrip(".") + unit
