"""Thanos: EXP3.M, dependent rounding, rewards, and what comes of them where they help and where not."""

from __future__ import annotations

import numpy as np
import pytest

from autokd.methods.thanos.bandits import Bandits
from autokd.methods.thanos.depround import depround, evenly
from autokd.methods.thanos.exp3 import Arms, inclusion_probabilities, updated
from autokd.methods.thanos.rewards import biased_rewards, rescaled, unbiased_rewards


def arms_of(*counts: int) -> Arms:
    return Arms(np.concatenate([[0], np.cumsum(counts)]))


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("plays", [1, 2, 3, 7])
def test_inclusion_probabilities_add_up_to_k_and_keep_their_bounds(plays: int) -> None:
    draw = draws(plays)
    for gamma in (0.0, 0.05, 0.3, 0.9, 1.0):
        arms = arms_of(*draw.integers(plays + 1, 40, size=200))
        weights = np.exp(draw.normal(0, draw.choice([0.1, 2, 15], size=200)[arms.owners]))
        p, _ = inclusion_probabilities(weights, arms, plays, gamma)
        assert np.abs(arms.sums(p) - plays).max() < 1e-9
        assert p.max() <= 1
        assert (p >= gamma * plays / arms.counts[arms.owners] - 1e-12).all()


def test_equal_weights_give_equal_chances_and_a_huge_one_is_always_played() -> None:
    arms = arms_of(5, 4)
    p, capped = inclusion_probabilities(np.array([1, 1, 1, 1, 1, 1e30, 1, 1, 1]), arms, 2, 0.1)
    np.testing.assert_allclose(p[:5], 2 / 5)
    np.testing.assert_allclose(p[5:], [1, 1 / 3, 1 / 3, 1 / 3])
    assert capped.tolist() == [False] * 5 + [True, False, False, False]


def test_capped_arms_follow_the_equation_of_alpha() -> None:
    """p = 1 exactly for those capped, and the others share in proportion to their weights."""
    weights, gamma, plays = np.array([50.0, 30.0, 1.0, 2.0, 3.0]), 0.2, 3
    p, capped = inclusion_probabilities(weights, arms_of(5), plays, gamma)
    assert capped.tolist() == [True, True, False, False, False]
    rest = p[2:] - gamma * plays / 5
    np.testing.assert_allclose(p[:2], 1)
    np.testing.assert_allclose(rest / rest.sum(), [1 / 6, 2 / 6, 3 / 6])


def test_dependent_rounding_draws_exactly_k_with_the_given_chances() -> None:
    p = np.array([0.9, 0.6, 0.5, 0.5, 0.3, 0.2, 0.25, 0.25, 0.5, 1.0, 0.0])
    arms, draw = arms_of(6, 5), draws()
    many = Arms(np.concatenate([[0], np.cumsum(np.tile(arms.counts, 40_000))]))
    chosen = depround(np.tile(p, 40_000), many, draw).reshape(40_000, -1)
    assert (chosen[:, :6].sum(axis=1) == 3).all()
    assert (chosen[:, 6:].sum(axis=1) == 2).all()
    assert np.abs(chosen.mean(axis=0) - p).max() <= 0.01


def test_even_draws_take_every_pair_alike() -> None:
    many = arms_of(*[4] * 12_000)
    chosen = evenly(many, 2, draws()).reshape(-1, 4)
    assert (chosen.sum(axis=1) == 2).all()
    pairs = np.unique(chosen, axis=0, return_counts=True)[1] / 12_000
    assert len(pairs) == 6
    assert np.abs(pairs - 1 / 6).max() < 0.015


def test_the_reward_is_what_the_error_of_one_drawn_neighbour_falls_by() -> None:
    """E |D z_I - mu|^2 = D^2 (|zbar|^2 - sum p r) for one play, whatever p."""
    draw = draws(3)
    for _ in range(50):
        d = int(draw.integers(2, 12))
        z, p = draw.normal(size=(d, 5)), draw.dirichlet(np.ones(d))
        error = (p * ((d * z - z.sum(axis=0)) ** 2).sum(axis=1)).sum()
        rewards = biased_rewards(z, np.zeros(d, dtype=np.int64), 1)
        mean = z.mean(axis=0)
        assert error == pytest.approx(d**2 * (mean @ mean - p @ rewards), abs=1e-9 * d**2)


def test_the_reward_is_largest_next_to_the_mean_and_never_above_its_square() -> None:
    z = draws(1).normal(size=(12, 4))
    owners = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2])
    rewards = biased_rewards(z, owners, 3)
    for owner in range(3):
        own = z[owners == owner]
        mean = own.mean(axis=0)
        found = rewards[owners == owner]
        assert found.argmax() == ((own - mean) ** 2).sum(axis=1).argmin()
        assert (found <= mean @ mean + 1e-12).all()
        np.testing.assert_allclose(found, mean @ mean - ((own - mean) ** 2).sum(axis=1))


def test_unbiased_rewards_have_no_bound() -> None:
    z = np.array([[3.0, 4.0], [3.0, 4.0]])
    np.testing.assert_allclose(unbiased_rewards(z, np.array([1.0, 0.01])), [25, 250_000])


def test_rewards_are_mapped_and_cut() -> None:
    np.testing.assert_allclose(rescaled(np.array([-9.0, -4.0, -1.5, 1.0, 2.0]), -4, 1), [0, 0, 0.5, 1, 1])


def test_an_update_is_that_of_the_paper_and_leaves_capped_arms_alone() -> None:
    arms, p = arms_of(4), np.array([0.9, 0.6, 0.3, 0.2])
    drawn, capped = np.array([0, 2]), np.array([True, False, False, False])
    found = updated(np.ones(4), arms, drawn, np.array([0.5, 0.7]), p, capped, plays=2, eta=0.1)
    grown = np.exp(2 * 0.1 * (0.7 / 0.3) / 4)
    np.testing.assert_allclose(found, np.array([1, 1, grown, 1]) / grown)


@pytest.mark.parametrize(("eta", "gamma", "capped"), [(0.1, 0.2, False), (0.2, 0.2, False), (0.5, 0.05, True)])
def test_rewards_up_to_one_meet_the_cap_of_exponents_only_where_eta_is_above_gamma(eta, gamma, capped) -> None:
    arms, plays = arms_of(6), 2
    weights = np.array([1e-9, 1, 1, 1, 1, 1])
    p, always = inclusion_probabilities(weights, arms, plays, gamma)
    assert p[0] == pytest.approx(gamma * plays / 6)  # as rarely as can be
    found = updated(weights, arms, np.array([0, 1]), np.array([1.0, 0.0]), p, always, plays, eta)
    assert np.log(found[0] / 1e-9) == pytest.approx(1.0 if capped else eta / gamma)


# ------------------------------------------------------------------------------------ one node, many steps


def cancelling_star() -> np.ndarray:
    """Twelve neighbours in 16 dimensions, of which four are large and cancel each other."""
    draw = draws(0)
    base = np.zeros(16)
    base[2] = 1.0
    z = base + 0.1 * draw.normal(size=(12, 16))
    large = np.zeros((4, 16))
    large[[0, 1], 0], large[[2, 3], 1] = (5, -5), (5, -5)
    z[:4] = 0.8 * base + large
    return z


def outlier_star() -> np.ndarray:
    """Ten neighbours, one of which is six times as large, points the other way and is not cancelled."""
    z = np.zeros((10, 16))
    z[:, 0] = 1.0
    z += 0.165 * draws(0).normal(size=z.shape)
    z[0] = 0.0
    z[0, 0] = -6.0
    return z


N = 8  # stars of one kind side by side, each with a bandit of its own
K = 3


def thanos_error(z: np.ndarray, low: float) -> tuple[float, np.ndarray]:
    """The mean squared error over the last 500 of 2,000 steps, and the last inclusion probabilities [N, D]."""
    d, draw, errors = len(z), draws(0), []
    arms, many, weights = arms_of(*[d] * N), np.tile(z, (N, 1)), np.ones(N * d)
    for _ in range(2000):
        p, capped = inclusion_probabilities(weights, arms, K, 0.2)
        drawn = np.flatnonzero(depround(p, arms, draw))
        estimates = d / K * many[drawn].reshape(N, K, -1).sum(axis=1)
        errors.append(((estimates - z.sum(axis=0)) ** 2).sum(axis=1).mean())
        rewards = rescaled(biased_rewards(many[drawn], arms.owners[drawn], N), low, 1.0)
        weights = updated(weights, arms, drawn, rewards, p, capped, K, 0.1)
    return float(np.mean(errors[-500:])), p.reshape(N, d)


def importance_error(z: np.ndarray) -> float:
    """Of sums weighted by inverse probabilities, which are the best ones: in proportion to norms."""
    arms, many = arms_of(*[len(z)] * 4000), np.tile(z, (4000, 1))
    p, _ = inclusion_probabilities(np.sqrt((many * many).sum(axis=1)), arms, K, 0.0)
    drawn = np.flatnonzero(depround(p, arms, draws(1)))
    estimates = (many[drawn] / p[drawn, None]).reshape(4000, K, -1).sum(axis=1)
    return float(((estimates - z.sum(axis=0)) ** 2).sum(axis=1).mean())


def bandit_error(z: np.ndarray) -> float:
    """As ``thanos_error``, of sums weighted by inverse probabilities, learnt from the unbiased estimator's reward."""
    d, draw, errors = len(z), draws(0), []
    arms, many, places = arms_of(*[d] * N), np.tile(z, (N, 1)), np.arange(N * d)
    reward = lambda z, owners, n, p: unbiased_rewards(z, p)  # noqa: E731
    bandits = Bandits(arms, K, gamma=0.2, eta=0.1, restart=0, reward=reward)
    for _ in range(2000):
        played = bandits.play(arms, places, draw)
        drawn = many[played.chosen]
        estimates = (drawn / played.p[played.chosen, None]).reshape(N, K, -1).sum(axis=1)
        errors.append(((estimates - z.sum(axis=0)) ** 2).sum(axis=1).mean())
        bandits.learn(played, drawn)
    return float(np.mean(errors[-500:]))


def uniform_error(z: np.ndarray) -> float:
    """Of (D / k) sums over k drawn evenly without replacement: ``D^2 / k (D - k) / (D - 1) mean |z - zbar|^2``."""
    d = len(z)
    return d**2 / K * (d - K) / (d - 1) * float(((z - z.mean(axis=0)) ** 2).sum(axis=1).mean())


def test_thanos_wins_where_large_neighbours_cancel() -> None:
    z = cancelling_star()
    found, p = thanos_error(z, low=-4.0)
    assert uniform_error(z) == pytest.approx(335, rel=0.05)
    assert importance_error(z) == pytest.approx(168, rel=0.15)
    assert bandit_error(z) == pytest.approx(167, rel=0.15)  # it learns the best probabilities, and no more
    assert found < 0.6 * uniform_error(z)
    assert found < importance_error(z)
    assert p[:, :4].sum(axis=1).mean() < 0.3  # of 3 in all; drawn evenly it would be 1


def test_thanos_loses_to_importance_sampling_where_one_large_neighbour_is_not_cancelled() -> None:
    """Its bias does not vanish: it leaves out a part that the sum is made of. Sampling by norms keeps that part.

    What is left to it is the noise of the others, which the reference numbers (121, 12.5 and 70) do not name. Their
    12.5 wants 0.165 in each dimension, and then the other two come out as well.
    """
    z = outlier_star()
    found, p = thanos_error(z, low=-4.0 * 36 / 25)
    assert uniform_error(z) == pytest.approx(121, rel=0.05)
    assert found == pytest.approx(70, rel=0.15)  # below even play all the same
    assert importance_error(z) == pytest.approx(12.5, rel=0.15)
    assert p[:, 0].mean() < 0.1


def test_bandits_start_anew_after_their_time() -> None:
    arms = arms_of(6, 8)
    bandits = Bandits(
        arms,
        2,
        gamma=0.2,
        eta=0.5,
        restart=10,
        reward=lambda z, owners, n, p: rescaled(biased_rewards(z, owners, n), -3, 1),
    )
    draw, z = draws(), draws(5).normal(size=(14, 3))
    for step in range(1, 11):
        played = bandits.play(arms, np.arange(14), draw)
        bandits.learn(played, z[played.chosen])
        assert bandits.weights.max() == 1
        assert bandits.weights.min() < 1
        bandits.step()
        assert (bandits.weights == 1).all() == (step == 10)
    played = bandits.play(arms, np.arange(14), draw)
    assert not played.capped.any()
    np.testing.assert_allclose(played.p, 2 / arms.counts[arms.owners])


def test_with_frozen_rewards_the_best_arm_is_nearly_always_played() -> None:
    arms, weights, draw = arms_of(6), np.ones(6), draws()
    worth = np.array([1.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    for _ in range(1500):
        p, capped = inclusion_probabilities(weights, arms, 1, 0.1)
        drawn = np.flatnonzero(depround(p, arms, draw))
        weights = updated(weights, arms, drawn, worth[drawn], p, capped, 1, 0.2)
    assert p[0] > 1 - 0.1 - 0.01
    assert p.argmax() == 0


def test_bandits_resume_exactly() -> None:
    arms, z = arms_of(6, 9), draws(5).normal(size=(15, 3))

    def made() -> Bandits:
        return Bandits(arms, 3, gamma=0.2, eta=0.5, restart=7, reward=lambda z, owners, n, p: unbiased_rewards(z, p))

    def run(bandits: Bandits, draw: np.random.Generator, steps: int) -> None:
        for _ in range(steps):
            played = bandits.play(arms, np.arange(15), draw)
            bandits.learn(played, z[played.chosen])
            bandits.step()

    whole, draw = made(), draws()
    run(whole, draw, 5)
    told, at = whole.state_dict(), draw.bit_generator.state
    run(whole, draw, 5)
    resumed, again = made(), draws(99)
    resumed.load_state_dict(told)
    again.bit_generator.state = at
    run(resumed, again, 5)
    assert (resumed.weights == whole.weights).all()
    assert (resumed.scales == whole.scales).all()
