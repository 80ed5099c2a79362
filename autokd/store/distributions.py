"""Optuna's form of a space's holes."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autokd.core.holes import Choice, Hole


def distribution(hole: Hole) -> BaseDistribution:
    """The distribution of one hole. A choice always lists every option, whatever is masked at the moment:
    Optuna freezes a study's categories at their first use."""
    if isinstance(hole, Choice):
        return CategoricalDistribution(list(hole.options))
    if hole.integer:
        return IntDistribution(int(hole.low), int(hole.high), log=hole.log)
    return FloatDistribution(hole.low, hole.high, log=hole.log)


def distributions(holes: Iterable[Hole]) -> dict[str, BaseDistribution]:
    """The distributions of several holes by name."""
    return {hole.name: distribution(hole) for hole in holes}
