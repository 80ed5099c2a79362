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
    if not 0 < level < 1:
        raise ValueError(f"`0 < level < 1` must hold, but got {level=}")
    labels = np.asarray(labels)
    guesses = np.stack([metric.predictions(logits, labels) for logits in logits_by_seed])
    n_outputs = logits_by_seed[0].shape[1]
    mean = float(np.mean([metric.of(guess, labels, n_outputs) for guess in guesses]))
    random = np.random.default_rng(seed)
    scores = np.empty(draws)
    for draw in range(draws):
        examples = random.integers(len(labels), size=len(labels))
        seeds, times = np.unique(random.integers(len(guesses), size=len(guesses)), return_counts=True)
        found = [metric.of(guesses[s][examples], labels[examples], n_outputs) for s in seeds]
        scores[draw] = np.average(found, weights=times)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return mean, min(float(low), mean), max(float(high), mean)
