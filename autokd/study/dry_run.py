"""What a search would do and take, without doing it: nothing is written to its storage or beside it."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from autokd.core.budget import Budget
from autokd.core.errors import AutokdError, SpecError
from autokd.core.settings import StudySettings
from autokd.deploy.forms import folder_bytes
from autokd.runner import run_job
from autokd.study import machine
from autokd.study.accounts import Accounts
from autokd.study.appraise import Appraisal, PipelineAppraiser
from autokd.study.bench_forecast import corrected
from autokd.study.candidates import Candidate, Candidates
from autokd.study.jobs import JobMaker
from autokd.study.ledger import Spent
from autokd.study.places import Places
from autokd.study.plan import CONTROLS, N_SEEDS
from autokd.study.policy import reserve
from autokd.study.prefixes import MARGIN
from autokd.study.prepare import Prepared, Request, prepare

_DRAWN = 12  # proposals that are looked at for what a typical trial costs
_FINALISTS = 3  # how many a frontier usually has that are confirmed and deployed
_FLOAT_BYTES = 4
_TRAINED = 4  # copies of a network's weights while it trains: itself, gradient, two moments
_FORMS = 2.3  # the sizes of a checkpoint, its ONNX and its int8 form together, over the checkpoint's


@dataclass(frozen=True)
class Plan:
    """Times are device seconds (devices x seconds); ``budget_seconds`` None: only trials are limited.

    ``teacher_seconds`` is the fine-tuning that all trials share; ``confirm_seconds`` that of the first finalist with
    its controls and the further seeds of two others, ``deploy_seconds`` of all three. ``n_trials`` search trials fit.
    ``disk_bytes`` is what stays at the end, ``memory_bytes`` what all workers together need; both are estimates.
    ``stages`` are those of the first of ``pipelines``, which would be proposed in this order.
    """

    study: str
    dataset: str
    metric: str
    teachers: tuple[str, ...]
    space: str
    device: str
    workers: int
    budget: str
    budget_seconds: float | None
    stages: tuple[str, ...]
    probe_seconds_per_mac: float
    teacher_seconds: float
    cheapest_seconds: float
    typical_seconds: float
    dearest_seconds: float
    confirm_seconds: float
    deploy_seconds: float
    n_trials: int
    disk_bytes: float
    memory_bytes: float
    pipelines: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(request: Request, n_pipelines: int = 5) -> Plan:
    """Prepare a search in a folder that is removed again, time a few training steps, and forecast the rest.

    Raises whatever the search itself would raise before its first job.
    """
    with tempfile.TemporaryDirectory(prefix="autokd-plan-") as place:
        prepared = prepare(replace(request, storage=f"sqlite:///{place}/plan.db", artifacts=place))
        settings, places = prepared.settings, Places(Path(place), prepared.settings.study)
        appraiser = PipelineAppraiser(settings, places.cache)
        candidates = Candidates(prepared.space, settings, appraiser)
        drawn = _drawn(candidates, max(_DRAWN, n_pipelines))
        if not drawn:
            raise SpecError(f"the space {settings.space_name!r} has no pipeline that this study can run.")
        maker = JobMaker(settings, places, appraiser)
        probe = _probe(maker, drawn[0].appraisal)
        return _forecast(prepared, maker, candidates, [candidate.appraisal for candidate in drawn], probe, n_pipelines)


def _drawn(candidates: Candidates, count: int) -> list[Candidate]:
    """What a study without records would propose, one after the other."""
    found: list[Candidate] = []
    while len(found) < count:
        candidate = candidates.draw((), found, lambda appraisal, spent: True)
        if candidate is None:
            break
        found.append(candidate)
    return found


def _probe(maker: JobMaker, appraisal: Appraisal) -> float:
    """Seconds per multiply-accumulate of one worker, measured in this process."""
    with _one_thread():
        outcome = run_job(maker.probe(appraisal, math.inf), lambda progress: None)
    if outcome.state != "complete":
        raise AutokdError(f"the probe of this machine failed: {outcome.error}")
    return float(outcome.values["seconds_per_mac"])


def _forecast(
    prepared: Prepared,
    maker: JobMaker,
    candidates: Candidates,
    drawn: Sequence[Appraisal],
    probe: float,
    n_pipelines: int,
) -> Plan:
    settings = prepared.settings
    accounts = Accounts(Budget.parse(settings.budget), maker.capacity, time.monotonic, Spent())
    accounts.probe = probe * maker.share
    accounts.learn(())
    costs = [accounts.cost(appraisal.macs) for appraisal in (*drawn, *candidates.legal())]
    typical = median(costs[: len(drawn)])
    teacher = MARGIN * accounts.cost(drawn[0].prefix_macs)
    confirm = (_FINALISTS * (N_SEEDS - 1) + len(CONTROLS) * N_SEEDS) * typical
    deploy = _FINALISTS * _deploy_seconds(maker, drawn) * maker.share
    purse = accounts.purse()
    room = purse.limit - reserve(purse.limit, confirm + deploy) - teacher
    n_trials = min(room / typical, purse.trials_left)
    masked = candidates.too_dear(lambda a: accounts.cost(a.macs), room) if not math.isinf(room) else ()
    if room < min(costs):
        told: tuple[str, ...] = (
            f"The budget {settings.budget} holds no trial: after the teacher and what is kept for confirming and "
            f"deploying, {max(room, 0.0):.0f} device seconds are left, and the cheapest trial takes {min(costs):.0f}.",
        )
    else:
        told = (f"Masked, because the budget does not hold them: {', '.join(masked)}.",) if masked else ()
    first = (*(pipeline for _, pipeline in prepared.begins), *(appraisal.pipeline for appraisal in drawn))
    return Plan(
        study=settings.study,
        dataset=settings.task_name,
        metric=settings.metric,
        teachers=settings.teachers,
        space=settings.space_name,
        device=settings.device,
        workers=settings.workers,
        budget=settings.budget,
        budget_seconds=None if math.isinf(purse.limit) else purse.limit,
        stages=tuple(stage["use"] for stage in first[0]["stages"]),
        probe_seconds_per_mac=probe,
        teacher_seconds=teacher,
        cheapest_seconds=min(costs),
        typical_seconds=typical,
        dearest_seconds=max(costs),
        confirm_seconds=confirm,
        deploy_seconds=deploy,
        n_trials=max(int(n_trials), 0),
        disk_bytes=_disk_bytes(settings, drawn),
        memory_bytes=_memory_bytes(settings, drawn),
        pipelines=first[:n_pipelines],
        notes=(*prepared.notes, *told),
    )


def _deploy_seconds(maker: JobMaker, drawn: Sequence[Appraisal]) -> float:
    teacher = drawn[0].teacher_macs
    known = [appraisal.values["macs"] for appraisal in drawn if "macs" in appraisal.values]
    return corrected(maker.appraiser.deploy_seconds(median(known) if known else teacher, teacher), ())


def _student_bytes(drawn: Sequence[Appraisal]) -> float:
    known = [appraisal.values["params"] for appraisal in drawn if "params" in appraisal.values]
    return _FLOAT_BYTES * median(known) if known else 0.0


def _disk_bytes(settings: StudySettings, drawn: Sequence[Appraisal]) -> float:
    """Base models and as many fine-tuned ones, and the checkpoints that are kept, of which finalists have all forms."""
    models = sum(folder_bytes(Path(folder)) for folder in settings.assets.values())
    kept = (1 + len(CONTROLS)) * N_SEEDS + (_FINALISTS - 1) * N_SEEDS
    return 2 * models + (kept + _FINALISTS * (_FORMS - 1)) * _student_bytes(drawn)


def _memory_bytes(settings: StudySettings, drawn: Sequence[Appraisal]) -> float:
    """For each worker what the probe took in this process, and a student in training beside its teacher."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return settings.workers * (peak + _TRAINED * _student_bytes(drawn))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As a worker runs: its one thread is set by its job, and this process gets its own back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(min(before, machine.cores()))
