"""Where search trials come from: parameters that a kill lost, and new proposals that the study can accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autokd.core.canonical import canonical, digest
from autokd.core.errors import SpecError
from autokd.core.objectives import excesses
from autokd.core.record import Role, TrialRecord
from autokd.core.seeds import Seeds
from autokd.core.settings import StudySettings
from autokd.recommend.proposals import propose
from autokd.space import Space
from autokd.study.appraise import Appraisal, Appraiser
from autokd.study.causes import LOST
from autokd.study.frontier import SEARCHED
from autokd.study.queue import Waiting

RANDOM_EVERY = 10  # the study's own random arm: one search trial in ten ...
_RANDOM_AT = 4  # ... the fifth of each ten, so that short studies have one too
_FLOAT_BYTES = 4

Allowed = Callable[[Appraisal, float], bool]  # an appraisal, and the device seconds already spent on it


@dataclass(frozen=True)
class Candidate:
    """A search trial to start, or to go on with.

    ``rests`` is a paused trial that goes on under its own number; ``continues`` one that ended as a budget was spent
    and whose work a new trial takes up.
    ``asked`` is the entry of the queue that it came from.
    """

    appraisal: Appraisal
    params: Mapping[str, Any]
    role: Role
    rests: TrialRecord | None = None
    continues: TrialRecord | None = None
    asked: Waiting | None = None


class Candidates:
    """Draws legal, affordable pipelines that were not tried before, within the constraints as far as shapes tell."""

    def __init__(self, space: Space, settings: StudySettings, appraiser: Appraiser) -> None:
        self._space, self._settings, self._appraiser = space, settings, appraiser
        self._judged: dict[str, Appraisal | None] = {}
        self._contents: dict[int, str] = {}
        self._again: list[tuple[Mapping[str, Any], Role]] = []
        self._unfinished: list[TrialRecord] = []

    def again(self, params: Mapping[str, Any], role: Role) -> None:
        """Try these parameters again before any new proposal: their trial was lost."""
        self._again.append((params, role))

    def go_on(self, record: TrialRecord) -> None:
        """Go on with a paused trial, or with one that was pruned when an earlier budget was spent."""
        self._unfinished.append(record)

    def cheapest(self, cost: Callable[[Appraisal], float]) -> float:
        """The lowest cost of all legal pipelines looked at so far, 0 where there were none."""
        return min((cost(found) for found in self._judged.values() if found is not None), default=0.0)

    def too_dear(self, cost: Callable[[Appraisal], float], most: float) -> tuple[str, ...]:
        """The options (``hole=option``) whose simplest legal pipeline costs more than ``most``."""
        found = []
        for name, option, params in self._space.examples():
            appraisal = self._judge(params, self._space.decode(params))
            if appraisal is not None and cost(appraisal) > most:
                found.append(f"{name}={option}")
        return tuple(found)

    def legal(self) -> tuple[Appraisal, ...]:
        """The simplest legal pipeline of each option of the space."""
        found = (self._judge(params, self._space.decode(params)) for _, _, params in self._space.examples())
        return tuple(appraisal for appraisal in found if appraisal is not None)

    def draw(self, records: Sequence[TrialRecord], waiting: Sequence[Candidate], allowed: Allowed) -> Candidate | None:
        """The next search trial, None where there is none that ``allowed`` lets pass.

        ``waiting`` are candidates drawn before that have not started; they count as tried.
        """
        searched = [r for r in records if r.role in ("search", "random")]
        tried = {self._content(r) for r in records if r.role in SEARCHED and not r.error.startswith(LOST)}
        tried |= {candidate.appraisal.content for candidate in waiting}
        count = len(searched) - sum(r.error.startswith(LOST) for r in searched) + len(waiting)
        for index, record in enumerate(self._unfinished):
            asked = record.role == "enqueued"  # whoever asked for it need not keep the constraints
            appraisal = self._legal(record.pipeline) if asked else self._judge(record.params, record.pipeline)
            if appraisal is not None and allowed(appraisal, record.device_seconds):
                del self._unfinished[index]
                rests, continues = (record, None) if record.state == "paused" else (None, record)
                return Candidate(appraisal, record.params, record.role, rests, continues)
        for index, (params, role) in enumerate(self._again):
            appraisal = self._judge(params, self._space.decode(params))
            if appraisal is not None and appraisal.content not in tried and allowed(appraisal, 0.0):
                del self._again[index]
                return Candidate(appraisal, params, role)
        return self._propose(records, tried, count, allowed)

    def asked(self, queue: Sequence[Waiting], waiting: Sequence[Candidate], allowed: Allowed) -> Candidate | None:
        """The first pipeline of a queue that ``allowed`` lets pass, None where there is none.

        It need not lie in the space, nor keep the constraints. ``waiting`` as in ``draw``.
        """
        begun = {candidate.asked.file for candidate in waiting if candidate.asked is not None}
        for entry in queue:
            appraisal = self._legal(entry.pipeline) if entry.file not in begun else None
            if appraisal is not None and allowed(appraisal, 0.0):
                return Candidate(appraisal, entry.params or {}, "enqueued", asked=entry)
        return None

    def _propose(
        self, records: Sequence[TrialRecord], tried: set[str], count: int, allowed: Allowed
    ) -> Candidate | None:
        chosen: list[Appraisal] = []

        def accept(params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> bool:
            appraisal = self._judge(params, pipeline)
            if appraisal is None or appraisal.content in tried or not allowed(appraisal, 0.0):
                return False
            chosen.append(appraisal)
            return True

        random = count % RANDOM_EVERY == _RANDOM_AT
        params = propose(
            self._space,
            records,
            self._settings.objectives,
            self._settings.constraints,
            seed=Seeds(self._settings.seed).integer(f"proposal:{count}"),
            accept=accept,
            random=random,
        )
        return None if params is None else Candidate(chosen[-1], params, "random" if random else "search")

    def _judge(self, params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> Appraisal | None:
        """The pipeline's appraisal, None where it is illegal or already known to break a constraint."""
        key = canonical(params)
        if key not in self._judged:
            self._judged[key] = self._appraised(pipeline)
        return self._judged[key]

    def _appraised(self, pipeline: Mapping[str, Any]) -> Appraisal | None:
        found = self._legal(pipeline)
        if found is None:
            return None
        values = {**_least_size(found), **found.values}
        broken = any(excess > 0 for excess in excesses(self._settings.constraints, values).values())
        return None if broken else found

    def _legal(self, pipeline: Mapping[str, Any]) -> Appraisal | None:
        try:
            return self._appraiser.appraise(pipeline)
        except SpecError:
            return None

    def _content(self, record: TrialRecord) -> str:
        if record.number not in self._contents:
            self._contents[record.number] = digest(record.pipeline)
        return self._contents[record.number]


def _least_size(appraisal: Appraisal) -> dict[str, float]:
    """What a checkpoint of float32 weights takes on disk at least, where its parameters are known beforehand."""
    if appraisal.pipeline.get("form", "float32") != "float32" or "params" not in appraisal.values:
        return {}
    return {"size_bytes": _FLOAT_BYTES * appraisal.values["params"]}
