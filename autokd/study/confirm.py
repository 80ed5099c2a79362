"""Confirming: which runs are still to do for which finalist, and what the finished ones say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any

from autokd.core.record import Finalist, Form, TrialRecord
from autokd.study.causes import CRASHED, LOST
from autokd.study.frontier import dominates, point
from autokd.study.plan import CONTROLS, N_SEEDS, Plan
from autokd.study.policy import Check
from autokd.study.timed_on import ELSEWHERE

SCORING_SHARE = 0.05  # scoring a finished trial on the test split, as a share of what training it took
_MAX_LOSSES = 2  # a run whose worker died under it more often is given up; kills of the driver are not its fault

Interval = Callable[[Sequence[TrialRecord]], tuple[float, float, float]]
Costs = Callable[[TrialRecord, str], float]
Deployed = Mapping[str, Mapping[str, Any]]


def group_cost(finalist: TrialRecord, costs: Costs, seeds: int, *, controls: bool) -> float:
    """Forecast device seconds of confirming one finalist from scratch, with its two controls or without."""
    own = costs(finalist, "")
    total = (SCORING_SHARE + seeds - 1) * own
    return total + seeds * sum(costs(finalist, name) for name in CONTROLS) if controls else total


def plan_cost(ranked: Sequence[TrialRecord], costs: Costs) -> float:
    """Forecast device seconds of confirming the best of a frontier: controls for the first, seeds for all."""
    return sum(group_cost(record, costs, N_SEEDS, controls=index == 0) for index, record in enumerate(ranked))


def checks(plan: Plan, records: Mapping[int, TrialRecord], costs: Costs) -> tuple[Check, ...]:
    """The runs that are still to do, most important first.

    First of all one seed of the best finalist and of its controls, without which there is no result; then their other
    seeds; then the other finalists, one after the other.
    """
    found: list[Check] = []
    confirming = [r for r in records.values() if r.confirms is not None]
    for index, finalist in enumerate(plan.finalists):
        names = ("", *CONTROLS) if index == 0 else ("",)
        todo: list[tuple[str, int, float, int | None]] = []
        for replicate in range(plan.seeds):
            for name in names:
                runs = _runs(confirming, finalist, name, replicate)
                if _to_do(runs):
                    cost = costs(records[finalist], name) * (SCORING_SHARE if not name and replicate == 0 else 1.0)
                    paused = next((r for r in runs if r.state == "paused"), None)
                    left = cost if paused is None else max(cost - paused.device_seconds, SCORING_SHARE * cost)
                    todo.append((name, replicate, left, None if paused is None else paused.number))
        whole = sum(cost for _, _, cost, _ in todo)
        opened = index == 0 or len(todo) < plan.seeds
        found += [
            Check(finalist, name, replicate, cost, whole, opened, index == 0 and replicate == 0, continues)
            for name, replicate, cost, continues in todo
        ]
    return tuple(found)


def completed(records: Sequence[TrialRecord], finalist: int) -> set[tuple[str, int]]:
    """The confirming runs of a finalist that are done, each as its name (empty: no control) and its replicate."""
    return {(r.name, r.replicate) for r in records if r.confirms == finalist and r.state == "complete"}


def finalists(
    plan: Plan,
    records: Mapping[int, TrialRecord],
    objectives: Sequence[str],
    interval: Interval,
    deployed: Deployed = MappingProxyType({}),
) -> tuple[Finalist, ...]:
    """The confirmed frontier: finalists by their means over seeds, without those that another one dominates.

    ``deployed`` holds what ``Memory.deployed`` does: sizes and latencies of the seeds that ship.
    """
    found = [
        _result(runs, number, "", interval, deployed.get(str(_ships(runs).number), {}))
        for number, runs in _confirmed(plan, records, objectives)
    ]
    return tuple(sorted(found, key=lambda f: -f.valid_score))


def controls(
    plan: Plan,
    records: Mapping[int, TrialRecord],
    interval: Interval,
    objectives: Sequence[str] = (),
    deployed: Deployed = MappingProxyType({}),
) -> tuple[Finalist, ...]:
    """The controls of the first finalist; ``trial`` is the number of the seed whose checkpoint ships.

    A control that was not deployed itself has the latencies of a confirmed finalist of its size.
    """
    likes = [_ships(runs) for _, runs in _confirmed(plan, records, objectives)]
    found = []
    for runs in _controls(plan, records):
        like = next((str(r.number) for r in likes if _size(r) == _size(_ships(runs))), "")
        measured = deployed.get(str(_ships(runs).number)) or {**deployed.get(like, {}), "forms": ()}
        found.append(_result(runs, None, runs[0].name, interval, measured))
    return tuple(found)


def shipping(plan: Plan, records: Mapping[int, TrialRecord], objectives: Sequence[str]) -> tuple[TrialRecord, ...]:
    """The runs whose checkpoints have to be deployed: of the confirmed frontier the seeds that ship, and of the
    controls those that are of another size than all of these."""
    front = [_ships(runs) for _, runs in _confirmed(plan, records, objectives)]
    sizes = {_size(record) for record in front}
    others = [_ships(runs) for runs in _controls(plan, records)]
    return (*front, *(record for record in others if front and _size(record) not in sizes))


def _confirmed(
    plan: Plan, records: Mapping[int, TrialRecord], objectives: Sequence[str]
) -> list[tuple[int, list[TrialRecord]]]:
    """Finalists that no other one dominates, each with its complete runs."""
    groups = [(n, runs) for n in plan.finalists if (runs := _complete(records, n, "", plan.seeds))]
    # A latency of another machine compares with nothing here.
    groups = [(n, runs) for n, runs in groups if ELSEWHERE not in _ships(runs).constraints]
    points = {number: point({**_ships(runs).values, **_mean(runs)}, objectives) for number, runs in groups}
    return [(n, runs) for n, runs in groups if not any(dominates(other, points[n]) for other in points.values())]


def _controls(plan: Plan, records: Mapping[int, TrialRecord]) -> list[list[TrialRecord]]:
    first = plan.finalists[:1]
    found = [_complete(records, number, name, plan.seeds) for number in first for name in CONTROLS]
    return [runs for runs in found if runs]


def _ships(runs: Sequence[TrialRecord]) -> TrialRecord:
    return max(runs, key=lambda r: (r.values["valid_score"], -r.replicate))


def _mean(runs: Sequence[TrialRecord]) -> dict[str, float]:
    return {"valid_score": fmean(r.values["valid_score"] for r in runs)}


def _size(record: TrialRecord) -> tuple[float, float, str]:
    return record.values["params"], record.values["macs"], record.pipeline.get("form", "float32")


def _result(
    runs: Sequence[TrialRecord], number: int | None, name: str, interval: Interval, measured: Mapping[str, Any]
) -> Finalist:
    ships = _ships(runs)
    mean, low, high = interval(runs)
    # What was not deployed may have been timed all the same, as an objective of the search.
    speed = measured.get("values") or ships.values
    return Finalist(
        trial=ships.number if number is None else number,
        pipeline=ships.pipeline,
        valid_score=_mean(runs)["valid_score"],
        test_score=mean,
        test_low=low,
        test_high=high,
        params=ships.values["params"],
        macs=ships.values["macs"],
        checkpoint=ships.checkpoint,
        n_seeds=len(runs),
        name=name,
        form=ships.pipeline.get("form", "float32"),
        size_bytes=ships.values.get("size_bytes", 0.0),
        latency_ms=speed.get("latency_ms"),
        latency_p90_ms=speed.get("latency_p90_ms"),
        teacher_latency_ms=speed.get("teacher_latency_ms"),
        speedup=speed.get("speedup"),
        forms=tuple(Form(**form) for form in measured.get("forms", ())),
        fastest=measured.get("fastest", ""),
        timed_on=measured.get("machine", "") or ships.timed_on,
    )


def _complete(records: Mapping[int, TrialRecord], finalist: int, name: str, seeds: int) -> list[TrialRecord]:
    runs = [_runs(list(records.values()), finalist, name, replicate) for replicate in range(seeds)]
    return [next(r for r in some if r.state == "complete") for some in runs if any(r.state == "complete" for r in some)]


def _runs(records: Sequence[TrialRecord], finalist: int, name: str, replicate: int) -> list[TrialRecord]:
    wanted = ("control" if name else "confirm", finalist, name, replicate)
    return [r for r in records if (r.role, r.confirms, r.name, r.replicate) == wanted]


def _to_do(runs: Sequence[TrialRecord]) -> bool:
    if any(r.state in ("complete", "running") for r in runs):
        return False
    failed = [r for r in runs if r.state == "failed"]
    lost = [r for r in failed if r.error.startswith((LOST, CRASHED))]
    crashed = [r for r in failed if r.error.startswith(CRASHED)]
    return len(lost) == len(failed) and len(crashed) <= _MAX_LOSSES
