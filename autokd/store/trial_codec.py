"""Between a trial record and a trial of Optuna, attribute by attribute.

Parameters, objective values, state, times and constraints are Optuna's own, so that any Optuna tool reads them. The
rest are user attributes, few so that a trial costs few writes:

===========  ===================================================================================================
``role``     why the trial was run
``pipeline`` the resolved pipeline
``plan``     what else is known at the start: control's name, what it confirms or continues, replicate, forecast
``paused``   ``{"checkpoint": folder}`` while a running trial rests, else ``{}``
``metrics``  everything that was measured, by name
``error``    one line, for failed trials
``outcome``  the rest of how it ended: curve, checkpoint, predictions, seconds, environment, time
===========  ===================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autokd.core.record import TrialRecord
from autokd.core.record import TrialState as RecordState

# Controls and confirmations are no draws of the search. This constraint keeps them off the frontier that Optuna and
# its dashboard show; records do not list it.
OUTSIDE = "outside_search"
OUTSIDE_ROLES = ("control", "confirm")

PLAN = ("name", "confirms", "continues", "replicate", "forecast_macs")
OUTCOME = (
    "curve",
    "checkpoint",
    "predictions",
    "device_seconds",
    "device_seconds_alone",
    "trained_macs",
    "spent_at",
    "environment",
    "shape",
    "timed_on",
    "ended",
)
_DEFAULTS = {field.name: field.default for field in fields(TrialRecord)}
_STATES: dict[TrialState, RecordState] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def start_attributes(record: TrialRecord) -> dict[str, Any]:
    """What is written with a trial's first line."""
    plan = {name: getattr(record, name) for name in PLAN}
    return {
        "role": record.role,
        "pipeline": dict(record.pipeline),
        "plan": {name: value for name, value in plan.items() if value != _DEFAULTS[name]},
    }


def start_constraints(record: TrialRecord) -> dict[str, float]:
    """The constraint that keeps controls and confirmations off the frontier."""
    return {OUTSIDE: 1.0} if record.role in OUTSIDE_ROLES else {}


def end_attributes(record: TrialRecord) -> dict[str, Any]:
    """What is written when a trial ends or pauses; empty parts are left out."""
    outcome = {name: getattr(record, name) for name in OUTCOME}
    found: dict[str, Any] = {"metrics": dict(record.values), "error": record.error}
    found["outcome"] = {name: value for name, value in outcome.items() if value not in ({}, (), "", 0.0)}
    return {name: value for name, value in found.items() if value}


def clean(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes without numbers that are not finite: neither JSON nor Optuna holds them."""
    found = dict(changes)
    for name in ("values", "constraints"):
        if name in found:
            found[name] = {key: float(value) for key, value in found[name].items() if math.isfinite(value)}
    if "curve" in found:
        found["curve"] = tuple(dict(point) for point in found["curve"] if all(map(math.isfinite, point.values())))
    return found


def to_record(trial: FrozenTrial) -> TrialRecord:
    """The record of a trial as the storage holds it. Trials of other tools become imported ones."""
    attributes = trial.user_attrs
    plan = {name: value for name, value in attributes.get("plan", {}).items() if name in PLAN}
    outcome = {name: value for name, value in attributes.get("outcome", {}).items() if name in OUTCOME}
    if "curve" in outcome:
        outcome["curve"] = tuple(outcome["curve"])
    # Kept here too, because Optuna's own time of completion is taken a moment after ours.
    outcome.setdefault("ended", iso(trial.datetime_complete))
    state = _STATES[trial.state]
    return TrialRecord(
        number=trial.number,
        state="paused" if state == "running" and attributes.get("paused") else state,
        role=attributes.get("role", "imported"),
        pipeline=attributes.get("pipeline", {}),
        params=dict(trial.params),
        values=attributes.get("metrics", {}),
        constraints={name: value for name, value in trial.constraints.items() if name != OUTSIDE},
        error=attributes.get("error", ""),
        started=iso(trial.datetime_start),
        **plan,
        **outcome,
    )


def iso(moment: datetime | None) -> str:
    """ISO 8601 in UTC, to the second; empty for None. Optuna's own times are local ones without a zone."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
