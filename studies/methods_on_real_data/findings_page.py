"""What the trainings say of Distiller's findings, as a page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial
from plan import Cell
from trainings.tables import difference, scored, table, told
from trainings.work import predictions

Row = Mapping[str, Any]
Choices = Mapping[str, Sequence[Any]]
RESAMPLES, SHUFFLES = 400, 20


def page(rows: Sequence[Row], choices: Choices) -> str:
    """The whole page."""
    random = [row for row in rows if row["part"] == "random"]
    tasks = list(dict.fromkeys(row["cell"] for row in random))
    parts = ["# Distiller's three findings\n\nTest scores throughout; nothing was chosen on them."]
    for task in tasks:
        parts.append(_importance(task, [row for row in random if row["cell"] == task], choices))
    parts.append(_augmentation([row for row in rows if row["part"] == "growing"]))
    return "\n\n".join(parts) + "\n"


def _importance(task: str, rows: Sequence[Row], choices: Choices) -> str:
    scores = np.array([row["test_score"] for row in rows])
    drawn = [dict(zip(choices, row["choice"].split("/"), strict=True)) for row in rows]
    shares, draw = importances(drawn, scores), np.random.default_rng(0)
    shuffled = [importances(drawn, draw.permutation(scores)) for _ in range(SHUFFLES)]
    lines = []
    for name in sorted(shares, key=lambda name: -shares[name]):
        floor = [found[name] for found in shuffled]
        lines.append([name, f"{shares[name]:.2f}", f"{np.mean(floor):.2f}", f"{np.quantile(floor, 0.95):.2f}"])
    head = ["choice", "share", "share of shuffled scores", "their 95 % quantile"]
    effects = _effects(drawn, scores, choices)
    spread = f"Scores of the {len(rows)} trials: {scores.min():.3f} to {scores.max():.3f}."
    return (
        f"## A random study of {task} rows\n\n{spread} Share of the variance that each choice explains (fANOVA), "
        f"beside what it would get by chance:\n\n{table(head, lines)}\n\nEffects on the score, beside each choice's "
        "first option, by least squares over all choices; 95 % intervals by resampling trials:\n\n"
        f"{table(['option', 'trials', 'effect [95 %]'], effects)}"
    )


def importances(drawn: Sequence[Mapping[str, str]], scores: np.ndarray) -> dict[str, float]:
    """Each choice's share of what explains the scores, by a forest's functional ANOVA (Optuna's)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    names = [name for name in drawn[0] if len({choice[name] for choice in drawn}) > 1]
    known = {name: CategoricalDistribution(sorted({choice[name] for choice in drawn})) for name in names}
    for choice, score in zip(drawn, scores, strict=True):
        params = {name: choice[name] for name in names}
        study.add_trial(create_trial(params=params, distributions=known, value=float(score)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))


def _effects(drawn: Sequence[Mapping[str, str]], scores: np.ndarray, choices: Choices) -> list[list[str]]:
    """What each option adds to its choice's first one, by least squares; intervals by resampling trials."""
    options = [(name, str(option)) for name, found in choices.items() for option in found[1:]]
    design = np.array([[1.0, *(float(choice[name] == option) for name, option in options)] for choice in drawn])
    draw = np.random.default_rng(0)
    picks = draw.integers(len(scores), size=(RESAMPLES, len(scores)))
    found = np.array([np.linalg.lstsq(design[pick], scores[pick], rcond=None)[0] for pick in picks])
    effects = np.linalg.lstsq(design, scores, rcond=None)[0]
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    return [
        [f"{name}: {option}", f"{design[:, i].sum():.0f}", f"{effects[i]:+.4f} [{low[i]:+.4f}, {high[i]:+.4f}]"]
        for i, (name, option) in enumerate(options, start=1)
    ]


def _augmentation(rows: Sequence[Row]) -> str:
    lines = []
    for cell, layers in dict.fromkeys((row["cell"], row["layers"]) for row in rows):
        own = [row for row in rows if (row["cell"], row["layers"]) == (cell, layers)]
        task = Cell(cell.partition(" ")[0], None, 1.0)
        predicted = {
            choice: [predictions(row) for row in own if row["choice"] == choice]
            for choice in dict.fromkeys(row["choice"] for row in own)
        }
        for choice, found in predicted.items():
            apart = told(difference(task, found, predicted["none"]), "+") if choice != "none" else ""
            lines.append([f"{cell} rows, {layers} layers, {choice}", told(scored(task, found)), apart])
    return (
        "## Augmentation on growing data\n\nEqual steps for all (a copy of the rows takes half of each epoch); "
        "paired differences to the same student without augmentation.\n\n"
        + table(["rows, student, augmentation", "score [95 %]", "minus none"], lines)
    )
