"""How much each parameter of a space mattered, for each objective."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from autokd.core.holes import Hole
from autokd.core.objectives import MEASURED
from autokd.core.record import TrialRecord
from autokd.core.settings import OBJECTIVES
from autokd.store.distributions import distributions
from autokd.store.study_store import StudyStore

MIN_TRIALS = 8  # below this the shares say nothing
_DRAWN = ("search", "random")


def importances(store: StudyStore) -> dict[str, dict[str, float]]:
    """For each objective of a study, the share of each parameter in what separates the better from the worse trials.

    PED-ANOVA over the search's own complete trials; shares add up to 1 and come in descending order. Parameters that
    took one value only are left out; an objective is left out where fewer than ``MIN_TRIALS`` trials, or no
    differences between them, leave nothing to say.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drawn = [r for r in store.records() if r.state == "complete" and r.role in _DRAWN and r.params]
    found = {}
    for name in store.settings.objectives:
        key = MEASURED[name]
        measured = [record for record in drawn if key in record.values]
        if len(measured) >= MIN_TRIALS and len({record.values[key] for record in measured}) > 1:
            shares = _shares(measured, store.holes, name)
            if shares:
                found[name] = shares
    return found


def _shares(records: Sequence[TrialRecord], holes: Sequence[Hole], objective: str) -> dict[str, float]:
    # Optuna's importances import scikit-learn where that is installed, which takes a second: not before it is needed.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    known = distributions(hole for hole in holes if _varies(hole.name, records))
    study = optuna.create_study(direction=StudyDirection[OBJECTIVES[objective].upper()])
    for record in records:
        params = {name: value for name, value in record.params.items() if name in known}
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=record.values[MEASURED[objective]],
                params=params,
                distributions={name: known[name] for name in params},
            )
        )
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in shares.items()}


def _varies(name: str, records: Sequence[TrialRecord]) -> bool:
    return len({record.params[name] for record in records if name in record.params}) > 1
