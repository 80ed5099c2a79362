"""What to try next on a grid of numbers, for searches inside a stage: each try costs seconds and has one loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import TrialState, create_trial

N_STARTUP = 16
LEARNING_DRAWS, RANDOM_DRAWS = 20, 200
Point = Mapping[str, int]


def propose_point(
    sizes: Mapping[str, int],
    tried: Sequence[tuple[Point, float]],
    seed: int,
    accept: Callable[[Point], bool],
) -> dict[str, int] | None:
    """A point of the grid that was not tried and that ``accept`` takes; None where none was found.

    ``sizes``: how many places each dimension has; a point says one of each, from 0, in an order that means something.
    ``tried``: points with their losses, less is better. Draws come from a sampler that learns from these, then evenly
    at random. Equal arguments give equal points.
    """
    known = {tuple(point[name] for name in sizes) for point, _ in tried}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draw = (seed + len(tried)) % 2**32
    learning = _study(TPESampler(seed=draw, n_startup_trials=N_STARTUP, multivariate=False), sizes, tried)
    for study, n_draws in ((learning, LEARNING_DRAWS), (_study(RandomSampler(seed=draw), sizes, ()), RANDOM_DRAWS)):
        for _ in range(n_draws):
            trial = study.ask()
            point = {name: trial.suggest_int(name, 0, size - 1) for name, size in sizes.items()}
            if tuple(point.values()) not in known and accept(point):
                return point
            study.tell(trial, state=TrialState.FAIL)
    return None


def _study(sampler: BaseSampler, sizes: Mapping[str, int], tried: Sequence[tuple[Point, float]]) -> Study:
    distributions: dict[str, BaseDistribution] = {name: IntDistribution(0, size - 1) for name, size in sizes.items()}
    study = optuna.create_study(sampler=sampler)
    study.add_trials([create_trial(params=dict(p), distributions=distributions, value=loss) for p, loss in tried])
    return study
