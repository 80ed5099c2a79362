from __future__ import annotations

import numpy as np
import pytest

from autokd.core.errors import DataError
from autokd.measure.intervals import interval, paired_interval
from autokd.measure.metrics import METRICS, Array

ACCURACY = METRICS["accuracy"]


def guesses(share_right: float, n: int, seed: int) -> tuple[Array, Array]:
    """Two-class logits that are right on a random ``share_right`` of ``n`` examples, and the labels."""
    random = np.random.default_rng(0)
    labels = random.integers(2, size=n)
    right = np.random.default_rng(seed).permutation(n) < round(share_right * n)
    return np.eye(2)[np.where(right, labels, 1 - labels)], labels


def test_mean_and_width_over_examples() -> None:
    """For one seed the interval is that of a proportion: 1.96 sqrt(p (1 - p) / n)."""
    logits, labels = guesses(0.8, 400, seed=1)
    mean, low, high = interval(ACCURACY, labels, [logits], draws=4000)
    half = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert mean == pytest.approx(0.8)
    assert (mean - low, high - mean) == pytest.approx((half, half), rel=0.12)


def test_seeds_that_disagree_widen_the_interval() -> None:
    labels = guesses(0.8, 400, seed=1)[1]
    equal = interval(ACCURACY, labels, [guesses(0.8, 400, seed=s)[0] for s in (1, 2, 3)])
    unequal = interval(ACCURACY, labels, [guesses(share, 400, seed=1)[0] for share in (0.7, 0.8, 0.9)])
    assert equal[0] == pytest.approx(unequal[0]) == pytest.approx(0.8)
    assert unequal[2] - unequal[1] > 1.5 * (equal[2] - equal[1])


def test_a_higher_level_is_wider() -> None:
    logits, labels = guesses(0.7, 100, seed=1)
    narrow, wide = (interval(ACCURACY, labels, [logits], level=level) for level in (0.5, 0.99))
    assert wide[1] < narrow[1] <= narrow[0] <= narrow[2] < wide[2]


def test_it_repeats_exactly_and_depends_on_its_seed() -> None:
    logits, labels = guesses(0.7, 97, seed=1)
    first = interval(METRICS["matthews"], labels, [logits, logits[::-1]])
    assert interval(METRICS["matthews"], labels, [logits, logits[::-1]]) == first
    assert interval(METRICS["matthews"], labels, [logits, logits[::-1]], seed=1) != first


@pytest.mark.parametrize("name", ["pearson", "spearman", "pearson_spearman"])
def test_correlations_have_intervals_too(name: str) -> None:
    random = np.random.default_rng(3)
    labels = random.normal(size=60)
    logits = [(labels + random.normal(size=60))[:, None] for _ in range(3)]
    mean, low, high = interval(METRICS[name], labels, logits, draws=200)
    assert 0.3 < low < mean < high < 0.95


def test_a_perfect_model_has_a_point() -> None:
    logits, labels = guesses(1.0, 50, seed=1)
    assert interval(ACCURACY, labels, [logits] * 3, draws=50) == (1.0, 1.0, 1.0)


def test_no_seed_is_refused() -> None:
    with pytest.raises(DataError, match="at least one seed"):
        interval(ACCURACY, np.zeros(3), [])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_level_is_a_share(level: float) -> None:
    logits, labels = guesses(0.7, 10, seed=1)
    with pytest.raises(ValueError, match="must hold"):
        interval(ACCURACY, labels, [logits], level=level)


def test_a_paired_difference_is_narrower_than_the_difference_of_two_intervals() -> None:
    """Two models that err on the same rows but for a few: what they share cancels out."""
    labels = np.zeros(200, dtype=int)
    worse = (np.arange(200) < 60).astype(int)
    better = (np.arange(200) < 50).astype(int)
    mean, low, high = paired_interval(ACCURACY, labels, [better] * 3, [worse] * 3, 2, draws=500)
    assert mean == pytest.approx(0.05)
    assert 0 < low < mean < high < 0.1
    half = 1.96 * (2 * 0.275 * 0.725 / 200) ** 0.5
    assert (high - low) / 2 < 0.5 * half


def test_a_model_does_not_differ_from_itself_where_all_its_seeds_agree() -> None:
    guess, labels = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    assert paired_interval(ACCURACY, labels, [guess] * 2, [guess] * 2, 2, draws=50) == (0.0, 0.0, 0.0)


def test_paired_differences_change_sign_with_their_order() -> None:
    labels = np.arange(60) % 2
    ours, others = np.where(np.arange(60) < 20, 1 - labels, labels), np.where(np.arange(60) > 50, 1 - labels, labels)
    forth = paired_interval(ACCURACY, labels, [ours], [others], 2)
    back = paired_interval(ACCURACY, labels, [others], [ours], 2)
    assert forth == pytest.approx((-back[0], -back[2], -back[1]))
