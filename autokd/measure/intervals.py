"""Confidence intervals over the two things that chance decides: which examples a test set holds, and the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autokd.core.errors import DataError
from autokd.measure.metrics import Array, Metric


def interval(
    metric: Metric,
    labels: Array,
    logits_by_seed: Sequence[Array],
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """``(mean, low, high)``: the mean score over seeds and its bootstrap percentile interval.

    Hierarchical: each draw picks as many seeds, and as many examples (the same ones for every seed, whose errors are
    correlated), with replacement, and averages the seeds' scores. ``labels`` is [n], each of ``logits_by_seed`` is
    [n, n_outputs], ``level`` lies in (0, 1). The interval always holds the mean and depends
    on nothing but the arguments. Raises DataError for no seed, and as ``Metric.score``.
    """
    if not logits_by_seed:
        raise DataError("an interval needs the logits of at least one seed, but got none.")
    labels = np.asarray(labels)
    guesses = [metric.predictions(logits, labels) for logits in logits_by_seed]
    return interval_of(metric, labels, guesses, logits_by_seed[0].shape[1], level, draws, seed)


def interval_of(
    metric: Metric,
    labels: Array,
    guesses_by_seed: Sequence[Array],
    n_outputs: int,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """``interval``, from predictions as ``Metric.predictions`` returns them (each [n]) instead of logits."""
    guesses = np.stack(guesses_by_seed)
    mean = float(np.mean([metric.of(guess, labels, n_outputs) for guess in guesses]))
    random = np.random.default_rng(seed)
    scores = np.empty(draws)
    for draw in range(draws):
        examples = random.integers(len(labels), size=len(labels))
        scores[draw] = _resampled(metric, labels, guesses, n_outputs, examples, random)
    low, high = _quantiles(scores, level)
    return mean, min(low, mean), max(high, mean)


def paired_interval(
    metric: Metric,
    labels: Array,
    guesses_by_seed: Sequence[Array],
    others_by_seed: Sequence[Array],
    n_outputs: int,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """``(mean, low, high)`` of how much higher the first predictions score than the others, examples paired.

    Each draw takes the same examples for both, and seeds for each of them. Arguments as ``interval_of``.
    """
    ours, others = np.stack(guesses_by_seed), np.stack(others_by_seed)
    mean = float(np.mean([metric.of(guess, labels, n_outputs) for guess in ours]))
    mean -= float(np.mean([metric.of(guess, labels, n_outputs) for guess in others]))
    random = np.random.default_rng(seed)
    apart = np.empty(draws)
    for draw in range(draws):
        examples = random.integers(len(labels), size=len(labels))
        apart[draw] = _resampled(metric, labels, ours, n_outputs, examples, random)
        apart[draw] -= _resampled(metric, labels, others, n_outputs, examples, random)
    low, high = _quantiles(apart, level)
    return mean, min(low, mean), max(high, mean)


def _resampled(
    metric: Metric, labels: Array, guesses: Array, n_outputs: int, examples: Array, random: np.random.Generator
) -> float:
    """The mean score on these examples of as many seeds as there are, drawn with replacement."""
    seeds, times = np.unique(random.integers(len(guesses), size=len(guesses)), return_counts=True)
    found = [metric.of(guesses[s][examples], labels[examples], n_outputs) for s in seeds]
    return float(np.average(found, weights=times))


def _quantiles(scores: Array, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"`0 < level < 1` must hold, but got {level=}")
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
