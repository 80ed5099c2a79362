"""The spaces that ship: every pipeline form that they hold is one that the methods accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autokd import build
from autokd.contracts import Models, Sizes, TextModel
from autokd.core.errors import SpecError, UsageError
from autokd.core.holes import Choice, Hole
from autokd.core.shape import EncoderShape, LayerShape, graph_shape
from autokd.core.task import Task
from autokd.engine.length import batches_of, n_steps
from autokd.methods.basics import Distil, Labels, Logits
from autokd.methods.ted import FilteredHidden
from autokd.methods.thanos import Thanos
from autokd.models.subspaces import SupernetSizes, subspace
from autokd.pipeline import Pipeline
from autokd.space import Space, find_space, shipped_spaces
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_regression, tiny_task

NAMES = [path.stem for path in shipped_spaces()]
GRAPHS = ["graph"]
TEXTS = [name for name in NAMES if name not in GRAPHS]


def facts_of(name: str, problem: str = "classification") -> frozenset[str]:
    return frozenset({"graph" if name in GRAPHS else "text", problem})


def load(name: str) -> Space:
    found, text = find_space(name)
    return Space.parse(text, found)


def drawn(space: Space, n: int) -> list[Pipeline]:
    """Pipelines of evenly drawn parameters, the same ones each time."""
    rng = np.random.default_rng(0)

    def choose(hole: Hole) -> Any:
        if isinstance(hole, Choice):
            return hole.options[int(rng.integers(len(hole.options)))]
        return int(rng.integers(hole.low, hole.high + 1)) if hole.integer else float(rng.uniform(hole.low, hole.high))

    return [Pipeline.from_json(space.decode(space.sample(choose))) for _ in range(n)]


def is_legal(pipeline: Pipeline, facts: frozenset[str]) -> bool:
    try:
        pipeline.check(facts)
    except SpecError:
        return False
    return True


def test_the_spaces_are_found() -> None:
    assert {"basics", "full", "hard", "students"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_makes_a_pipeline_that_comes_back(name: str) -> None:
    space = load(name)
    for hole, option, params in space.examples():
        pipeline = Pipeline.from_json(space.decode(params))
        pipeline.check(facts_of(name))
        assert space.encode(pipeline.to_json(), build.defaults) == params, (hole, option)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("depth", [6, 12])
def test_every_student_can_be_cut_from_teachers_of_six_and_twelve_layers(name: str, depth: int) -> None:
    space = load(name)
    layer = LayerShape(heads=2, head_width=8, ffn=32)
    teacher = EncoderShape(vocabulary=99, positions=64, hidden=16, layers=(layer,) * depth, labels=2)
    small = teacher.with_layers((layer,))
    for _, _, params in space.examples():
        pipeline = Pipeline.from_json(space.decode(params))
        others = {name: small for name in pipeline.base_models() if name != "auto"}
        known = {"supernet": SupernetSizes(subspace("small", teacher), teacher)}
        helpers = {name: known.get(kind, TextModel(1e6, 1e6)) for name, kind in pipeline.assets().items()}
        cost, sizes = pipeline.forecast(Sizes(1000, 20.0, teacher, bases=others, assets=helpers))
        assert cost.known
        assert cost.macs > 0
        assert sizes.student is not None
        assert sizes.student.macs(20) < teacher.macs(20)


@pytest.mark.parametrize("name", TEXTS)
def test_regression_has_pipelines(name: str) -> None:
    space = load(name)
    params = space.sample(lambda hole: "mse" if hole.name == "logits" else _first(hole))
    Pipeline.from_json(space.decode(params)).check(facts_of(name, "regression"))


@pytest.mark.parametrize("name", GRAPHS)
def test_students_on_graphs_are_smaller_than_their_teachers(name: str) -> None:
    space = load(name)
    for _, _, params in space.examples():
        pipeline = Pipeline.from_json(space.decode(params))
        cost, sizes = pipeline.forecast(Sizes(140, 4.9, graph_shape(1433, 7, filled=18.0, stages=1), unlabelled=2500))
        assert cost.known
        assert sizes.student is not None
        assert 0 < sizes.student.params() < sizes.teacher.params()
        assert 0 < sizes.student.macs(4.9) < sizes.teacher.macs(4.9)


def test_bandits_restart_within_the_steps_that_students_on_graphs_make() -> None:
    pipelines = [Pipeline.from_json(load("graph").decode(params)) for _, _, params in load("graph").examples()]
    distils = [stage for pipeline in pipelines for stage in pipeline.stages if isinstance(stage, Distil)]
    restarts = {stage.sampler.restart for stage in distils if isinstance(stage.sampler, Thanos)}
    assert {0} < restarts
    cora = batches_of(2708, 1024)  # the teacher labels all nodes that are not in train
    assert max(restarts) < n_steps(max(stage.epochs for stage in distils), cora)


def test_the_papers_loss_of_ted_is_in_the_full_space() -> None:
    found = []
    for _, _, params in load("full").examples():
        for stage in Pipeline.from_json(load("full").decode(params)).stages:
            if isinstance(stage, Distil) and any(isinstance(term, FilteredHidden) for term in stage.objectives):
                found.append({type(term): term for term in stage.objectives})
    kl = [terms[Logits] for terms in found if Labels in terms and Logits in terms and terms[Logits].form == "kl"]
    assert {(term.temperature, term.tau_squared) for term in kl} == {(2.0, True)}
    assert {term.weight for term in kl} == {5.0, 10.0, 20.0}
    assert any(Logits not in terms for terms in found)


def test_every_method_stands_in_a_space() -> None:
    used = frozenset().union(*(load(name).uses() for name in NAMES))
    known = {build.address_of(cls) for cls in build.all_methods() if cls.__module__.startswith("autokd.")}
    assert known <= used, "a method that no shipped space offers is never tried"


def test_hard_holds_the_default_space() -> None:
    hard = load("hard")
    for _, _, params in load("basics").examples():
        assert hard.encode(load("basics").decode(params), build.defaults) is not None, params


def test_full_has_the_methods_of_the_other_text_spaces() -> None:
    others = ("basics", "hard", "students")
    assert frozenset().union(*(load(name).uses() for name in others)) <= load("full").uses()


def test_most_draws_of_the_full_space_are_legal_and_all_come_back() -> None:
    space = load("full")
    pipelines = drawn(space, 300)
    assert sum(is_legal(pipeline, facts_of("full")) for pipeline in pipelines) >= 0.8 * 300
    # Numbers have one form of logits, and one in a trial student's distillation.
    assert sum(is_legal(pipeline, frozenset({"text", "regression"})) for pipeline in pipelines) >= 0.25 * 300
    for pipeline in pipelines[:100]:
        params = space.encode(pipeline.to_json(), build.defaults)
        assert params is not None
        assert Pipeline.from_json(space.decode(params)) == pipeline


@pytest.mark.slow
@pytest.mark.parametrize("task", [tiny_task(), tiny_regression()], ids=["classes", "numbers"])
def test_every_option_of_the_full_space_trains(task: Task, tmp_path: Path) -> None:
    space = load("full")
    fixed: dict[str, Any] = {"epochs": 5}  # AdaShift's first steps move nothing
    if task.problem == "regression":
        fixed |= {"logits": "mse", "stark.trial": "mse", "ted.logits": "mse"}
    trained: set[str] = set()
    for _, _, params in space.examples():
        given = {**params, **fixed}
        pipeline = space.decode(space.sample(lambda hole, given=given: given.get(hole.name, _first(hole))))
        if str(pipeline) in trained:
            continue
        trained.add(str(pipeline))
        models = Models()
        for i, stage in enumerate(Pipeline.from_json(pipeline).stages):
            use, folder = build.address_of(type(stage)), f"{len(trained)}-{i}"
            models = stage.run(models, tiny_context(tmp_path, task, use, folder=folder, depth=5))
        assert models["student"].content != models["student_init"].content, pipeline
        assert all(bool(value.float().isfinite().all()) for value in models["student"].weights.values()), pipeline
    assert len(trained) > 30


def _first(hole: Hole) -> Any:
    return hole.options[0] if isinstance(hole, Choice) else hole.low


def test_a_file_is_a_space_too(tmp_path: object) -> None:
    with open("mine.yaml", "w", encoding="utf-8") as file:
        file.write("stages: [{use: a:B}]")
    assert find_space("mine.yaml") == ("mine", "stages: [{use: a:B}]")


@pytest.mark.parametrize(
    ("name", "expected"), [("basic", "Did you mean 'basics'"), ("no/such.yaml", "a file that exists")]
)
def test_unknown_spaces_are_refused(name: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        find_space(name)
