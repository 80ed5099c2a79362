"""What a space holds, before any of it runs: its size, what cannot run here, its cheapest and its dearest pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any

import numpy as np
import torch

from autokd import build
from autokd.contracts import GRAPH, BaseModel, Facts, Sizes, StartsFresh
from autokd.core.canonical import Json, canonical
from autokd.core.errors import SpecError, UsageError
from autokd.core.holes import Choice, Hole
from autokd.core.settings import DataSource
from autokd.core.shape import EncoderShape, graph_shape
from autokd.core.task import DataKind, Problem, Task
from autokd.engine.asset_sizes import asset_sizes
from autokd.engine.nodes import start_shape
from autokd.engine.rows import encode
from autokd.measure.cost import count_parameters
from autokd.models.assets import find_model
from autokd.models.bases import base_shape, describe
from autokd.models.slots import network_of
from autokd.models.text_models import find_asset
from autokd.pipeline import Pipeline, task_facts
from autokd.space import Space, find_space
from autokd.tasks.load import load_task

DEGREE = 10.0
_NODES = graph_shape(1000, 2, filled=100.0, stages=1)
ROWS, LENGTH, CLASSES = 10_000, 64, 2  # the data set that a space is judged for where none is named
STARTS = 4  # random pipelines that the search for the cheapest and the dearest begins with
TRIES = 20  # random pipelines with one option, before that option is called masked
DRAWS = 400  # draws to find those: an option may be open in few assignments only


@dataclass(frozen=True)
class Masked:
    """An option that no pipeline can use here, and why."""

    parameter: str
    option: str
    reason: str


@dataclass(frozen=True)
class Example:
    """A resolved pipeline with its forecast: what training takes in all, and its student as far as it is known."""

    pipeline: Mapping[str, Json]
    training_macs: float
    macs: float | None
    params: float | None


@dataclass(frozen=True)
class Survey:
    """``size`` counts assignments of parameters, None where a range of real numbers makes them endless.

    ``cheapest`` and ``dearest`` are found by local search over every option and both ends of every range.
    """

    name: str
    judged_for: str
    n_parameters: int
    size: int | None
    uses: tuple[str, ...]
    masked: tuple[Masked, ...]
    cheapest: Example
    dearest: Example

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def survey(name_or_path: str, source: DataSource | None = None, teacher: str = "auto") -> Survey:
    """Judge a space, for a data set or for a nominal one of single sentences with two classes.

    Raises SpecError where the space breaks a rule, or where none of the pipelines tried can run.
    """
    name, text = find_space(name_or_path)
    space = Space.parse(text, name)
    task = None if source is None else load_task(source, seed=0)
    judge = _Judge(space, task, teacher)
    rng = np.random.default_rng(0)
    starts = _starts(judge, rng)
    return Survey(
        name=space.name,
        judged_for=_judged_for(judge),
        n_parameters=len(space.holes),
        size=space.size(),
        uses=tuple(sorted(space.uses())),
        masked=tuple(judge.masked(starts, rng)),
        cheapest=judge.extreme(starts, sign=1.0),
        dearest=judge.extreme(starts, sign=-1.0),
    )


def _judged_for(judge: _Judge) -> str:
    if judge.kind == "graph":
        name = "a graph" if judge.task is None else judge.task.name
        return f"{name}, {judge.n_rows:,} training nodes that read {judge.length:.1f} nodes each"
    return f"{'sentences' if judge.task is None else judge.task.name}, {judge.n_rows:,} rows of {LENGTH} tokens"


def _is_for_graphs(cls: type) -> bool:
    facts = getattr(cls, "facts", None)
    return isinstance(facts, Facts) and facts.data == GRAPH


def _starts(judge: _Judge, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Some assignments that can run. Raises SpecError where none was found."""
    drawn = (judge.draw(rng) for _ in range(DRAWS))
    found = list(islice((params for params in drawn if judge.forecast(params) is not None), STARTS))
    if not found:
        raise SpecError(f"no pipeline of the space {judge.space.name!r} can run here: {judge.commonest_reason()}.")
    return found


@dataclass(frozen=True)
class _Forecast:
    pipeline: Pipeline
    training_macs: float
    student: EncoderShape | None
    length: float

    def example(self) -> Example:
        if self.student is None:
            return Example(self.pipeline.to_json(), self.training_macs, None, None)
        with torch.device("meta"):  # counts parameters without holding them
            params = count_parameters(network_of(self.student))
        return Example(self.pipeline.to_json(), self.training_macs, self.student.macs(self.length), float(params))


class _Judge:
    """Builds, checks and forecasts pipelines of one space, each assignment once."""

    def __init__(self, space: Space, task: Task | None, teacher: str) -> None:
        self.space, self.task, self.teacher = space, task, teacher
        self._judged: dict[str, _Forecast | str] = {}
        self._bases: dict[str, tuple[BaseModel, EncoderShape]] = {}
        self._assets: dict[str, object] = {}

    def draw(self, rng: np.random.Generator, fixed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A random assignment in which ``fixed`` holds wherever it is active."""
        given = fixed or {}
        return dict(self.space.sample(lambda hole: given.get(hole.name, _any_of(_values(hole), rng))))

    def forecast(self, params: Mapping[str, Any]) -> _Forecast | None:
        """The forecast of an assignment's pipeline, None where it cannot run."""
        found = self._judge(params)
        return found if isinstance(found, _Forecast) else None

    def commonest_reason(self) -> str:
        """Why most of the assignments that cannot run cannot."""
        reasons = Counter(found for found in self._judged.values() if isinstance(found, str))
        return reasons.most_common(1)[0][0].rstrip(".") if reasons else "nothing was tried"

    def masked(self, starts: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Iterator[Masked]:
        """The options that were in no pipeline that can run.

        Holes without any other option are left out: they are open in pipelines with another masked option alone.
        """
        for hole in self.space.holes:
            options = hole.options if isinstance(hole, Choice) else ()
            reasons = [(option, self._reason_against(hole, option, starts, rng)) for option in options]
            if any(reason is None for _, reason in reasons):
                for option, reason in reasons:
                    if reason is not None:
                        yield Masked(hole.name, str(option), reason)

    def _reason_against(
        self, hole: Hole, option: Any, starts: Sequence[Mapping[str, Any]], rng: np.random.Generator
    ) -> str | None:
        """Why none of some pipelines with an option can run, None where one can or where the option is never open.

        Looked at first are pipelines of ``starts``, which can run, with this option in the place of theirs.
        """
        reasons: Counter[str] = Counter()
        changed = (self.draw(rng, {**start, hole.name: option}) for start in starts)
        drawn = chain(changed, (self.draw(rng, {hole.name: option}) for _ in range(DRAWS)))
        for params in islice((params for params in drawn if hole.name in params), TRIES):
            found = self._judge(params)
            if not isinstance(found, str):
                return None
            reasons[found] += 1
        return reasons.most_common(1)[0][0] if reasons else None

    def extreme(self, starts: Iterable[Mapping[str, Any]], sign: float) -> Example:
        """The cheapest (``sign`` 1) or dearest (-1) pipeline reached by changing one parameter at a time."""
        reached = [self._descend(start, sign) for start in starts]
        return min(reached, key=lambda forecast: sign * forecast.training_macs).example()

    def _descend(self, params: Mapping[str, Any], sign: float) -> _Forecast:
        best = self.forecast(params)
        assert best is not None  # callers start from pipelines that can run
        while True:
            better = None
            for changed in self._neighbours(params):
                found = self.forecast(changed)
                if found is not None and sign * found.training_macs < sign * best.training_macs:
                    better, best = changed, found
            if better is None:
                return best
            params = better

    def _neighbours(self, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for hole in self.space.holes:
            if hole.name in params:
                for value in _values(hole):
                    given = {**params, hole.name: value}
                    yield dict(self.space.sample(lambda h, g=given: g.get(h.name, _values(h)[0])))  # type: ignore[misc]

    def _judge(self, params: Mapping[str, Any]) -> _Forecast | str:
        key = canonical(params)
        if key not in self._judged:
            try:
                self._judged[key] = self._forecast(Pipeline.from_json(self.space.decode(params)))
            except UsageError as error:
                self._judged[key] = str(error)
        return self._judged[key]

    def _forecast(self, pipeline: Pipeline) -> _Forecast:
        bases = {name: self._base(name) for name in pipeline.base_models()}
        if not bases and not isinstance(pipeline.stages[0], StartsFresh):
            raise SpecError(
                "a pipeline must begin with a pretrained model or train its teacher, but this one does neither."
            )
        pipeline.check(self._facts, {name: base for name, (base, _) in bases.items()})
        shapes = {name: shape for name, (_, shape) in bases.items()}
        tuned = frozenset(name for name, (base, _) in bases.items() if base.is_tuned)
        assets = {name: self._asset(name, kind) for name, kind in pipeline.assets().items()}
        start = next(iter(shapes.values()), None) or (_NODES if self.task is None else start_shape(self.task))
        more = 0 if self.task is None else self.task.n_unlabelled
        sizes = Sizes(self.n_rows, self.length, start, unlabelled=more, bases=shapes, tuned=tuned, assets=assets)
        sizes = replace(sizes, tokenizers={name: base.tokenizer for name, (base, _) in bases.items()})
        cost, after = pipeline.forecast(sizes)
        return _Forecast(pipeline, cost.macs, None if after.is_bound else after.student, self.length)

    @cached_property
    def _facts(self) -> frozenset[str]:
        return frozenset({self.kind, "classification"}) if self.task is None else task_facts(self.task)

    @cached_property
    def kind(self) -> DataKind:
        """The kind of data that pipelines are judged for: the task's, or what the space's own stages work on."""
        if self.task is not None:
            return self.task.kind
        methods = [build.method_class(use) for use in self.space.uses()]
        return "graph" if any(map(_is_for_graphs, methods)) else "text"

    @cached_property
    def length(self) -> float:
        """What a row's cost grows with: tokens, or the nodes that a node reads."""
        if self.kind == "text":
            return LENGTH
        return DEGREE if self.task is None else float(encode(self.task.train, "", 1, self.task.problem).extents.mean())

    @property
    def n_rows(self) -> int:
        """Training rows that pipelines are forecast for."""
        return ROWS if self.task is None else len(self.task.train)

    def _asset(self, name: str, kind: str) -> object:
        """What is known of what a method names beside the networks. Raises UsageError where it is not at hand."""
        if name not in self._assets:
            n_outputs = CLASSES if self.task is None else self.task.n_outputs
            self._assets[name] = asset_sizes(find_asset(name, kind).folder, kind, n_outputs, LENGTH)
        return self._assets[name]

    def _base(self, model: str) -> tuple[BaseModel, EncoderShape]:
        """What a base model is, and its shape. Raises UsageError where it is not at hand."""
        name = self.teacher if model == "auto" else model
        if name not in self._bases:
            folder, task = find_model(name).folder, self.task
            problem: Problem = "classification" if task is None else task.problem
            base = describe(name, folder, problem, () if task is None else task.label_names)
            self._bases[name] = base, base_shape(folder, CLASSES if task is None else task.n_outputs)
        return self._bases[name]


def _values(hole: Hole) -> tuple[Any, ...]:
    """Every option of a choice; the two ends of a range."""
    if isinstance(hole, Choice):
        return hole.options
    return (int(hole.low), int(hole.high)) if hole.integer else (hole.low, hole.high)


def _any_of(values: tuple[Any, ...], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]
