"""What a study tries next: a draw of its sampler, or of its random arm, that the study can accept.

Draws are made on a study in memory, filled from the records. The real study never sees a draw that is refused, and
its distributions always hold every option, whatever is masked at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from autokd.core.holes import Choice, Hole
from autokd.core.objectives import excesses, objective_values, pareto
from autokd.core.record import TrialRecord
from autokd.core.settings import OBJECTIVES
from autokd.space import Space
from autokd.store.distributions import distributions

Accept = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]

MAX_HISTORY = 200  # MO-TPE costs 0.05 s an ask at 1,000 trials and 0.6 s at 10,000
N_STARTUP = 8  # random draws before the sampler learns; budgets of a few dozen trials leave no room for more
SAMPLER_DRAWS, RANDOM_DRAWS, LISTED = 40, 160, 500
_LEARNT_FROM = ("search", "random", "enqueued", "imported")


def propose(
    space: Space,
    records: Sequence[TrialRecord],
    objectives: Sequence[str],
    constraints: Sequence[str],
    seed: int,
    accept: Accept,
    random: bool = False,
) -> dict[str, Any] | None:
    """Parameters to try next, None where nothing new can be found.

    ``accept(params, pipeline)`` refuses what is masked, illegal, too dear or tried already; refused draws are drawn
    again, at last evenly at random, then from a listing of the space. ``random`` asks for the random arm: evenly
    drawn, blind to the records. Equal arguments give equal proposals. ``seed`` is any whole number.
    """
    arms: list[tuple[BaseSampler, Sequence[FrozenTrial], int]] = [(_even(seed), (), SAMPLER_DRAWS + RANDOM_DRAWS)]
    if not random:
        known = history(space, records, objectives, constraints)
        arms = [(_learning(seed), known, SAMPLER_DRAWS), (_even(seed), (), RANDOM_DRAWS)]
    for sampler, trials, n_draws in arms:
        found = _drawn(space, _study(objectives, sampler, trials), n_draws, accept)
        if found is not None:
            return found
    for params in islice(space.walk(), LISTED):
        if accept(params, space.decode(params)):
            return params
    return None


def history(
    space: Space, records: Sequence[TrialRecord], objectives: Sequence[str], constraints: Sequence[str]
) -> tuple[FrozenTrial, ...]:
    """The records as trials that a sampler learns from: at most ``MAX_HISTORY``, the frontier and the newest ones.

    Controls and confirmations are left out, and pipelines outside of the space. Trials that were paused or pruned
    count with the last score of their curve where the other objectives are known; running ones count as running.
    """
    usable = [record for record in records if record.role in _LEARNT_FROM and _fits(space, record)]
    measured = [(record, values) for record in usable if (values := _values(record, objectives)) is not None]
    told = {record.number for record, _ in measured}
    running = [record for record in usable if record.state in ("running", "paused") and record.number not in told]
    known = distributions(space.holes)
    trials = [
        create_trial(
            state=TrialState.COMPLETE,
            values=values,
            params=dict(record.params),
            distributions={name: known[name] for name in record.params},
            constraints=excesses(constraints, _last_values(record)),
        )
        for record, values in _bounded(measured, objectives)
    ]
    trials += [
        create_trial(
            state=TrialState.RUNNING,
            params=dict(record.params),
            distributions={name: known[name] for name in record.params},
        )
        for record in running
    ]
    return tuple(trials)


def _bounded(
    measured: Sequence[tuple[TrialRecord, list[float]]], objectives: Sequence[str]
) -> list[tuple[TrialRecord, list[float]]]:
    if len(measured) <= MAX_HISTORY:
        return list(measured)
    front = pareto([values for _, values in measured], objectives)[-MAX_HISTORY:]
    newest = reversed(range(len(measured)))
    others = islice((i for i in newest if i not in set(front)), MAX_HISTORY - len(front))
    return [measured[i] for i in sorted([*front, *others])]


def _fits(space: Space, record: TrialRecord) -> bool:
    holes = {hole.name: hole for hole in space.holes}
    return bool(record.params) and all(
        name in holes and holes[name].allows(value) for name, value in record.params.items()
    )


def _last_values(record: TrialRecord) -> dict[str, float]:
    unfinished = record.state in ("paused", "pruned") and record.curve
    return {**({"valid_score": record.curve[-1]["score"]} if unfinished else {}), **record.values}


def _values(record: TrialRecord, objectives: Sequence[str]) -> list[float] | None:
    if record.state in ("failed", "running"):
        return None
    return objective_values(objectives, _last_values(record))


def _learning(seed: int) -> BaseSampler:
    # One parameter at a time: with conditional parameters a joint model would see only those that all trials share.
    return TPESampler(seed=seed % 2**32, n_startup_trials=N_STARTUP, multivariate=False, constant_liar=True)


def _even(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed % 2**32)


def _study(objectives: Sequence[str], sampler: BaseSampler, trials: Sequence[FrozenTrial]) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = [StudyDirection[OBJECTIVES[name].upper()] for name in objectives]
    study = optuna.create_study(directions=directions, sampler=sampler)
    study.add_trials(trials)
    return study


def _drawn(space: Space, study: Study, n_draws: int, accept: Accept) -> dict[str, Any] | None:
    for _ in range(n_draws):
        trial = study.ask()
        params = space.sample(lambda hole, trial=trial: _suggest(trial, hole))  # type: ignore[misc]
        if accept(params, space.decode(params)):
            return params
        study.tell(trial, state=TrialState.FAIL)
    return None


def _suggest(trial: Trial, hole: Hole) -> Any:
    if isinstance(hole, Choice):
        return trial.suggest_categorical(hole.name, hole.options)
    if hole.integer:
        return trial.suggest_int(hole.name, int(hole.low), int(hole.high), log=hole.log)
    return trial.suggest_float(hole.name, hole.low, hole.high, log=hole.log)
