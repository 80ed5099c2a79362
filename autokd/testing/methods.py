"""The contract kit for methods: what every stage, objective, hook, sampler, augmenter and optimizer must keep to.

Write a ``Case`` for a method (its fields small, the stages that must come before it) and call ``check_all``. Each
check raises AssertionError with what is broken.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from autokd.build import address_of, build, to_json
from autokd.contracts import (
    ASSET_KINDS,
    KINDS,
    Context,
    Cost,
    Facts,
    Method,
    Models,
    NeedsAssets,
    Sizes,
    Stage,
    TextAugmenter,
)
from autokd.core.errors import Paused
from autokd.core.shape import EncoderShape, LayerShape, graph_shape
from autokd.core.task import Task
from autokd.methods.basics import Distil, FineTuneTeacher, TruncateLayers
from autokd.models.slots import content_of, shape_of_slot
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_graph, tiny_task

CARD = ("What:", "Equation:", "Symbols:", "Source:", "Differences:")

# How a method of each kind is put into a stage that can be run.
_STAGE_OF: dict[str, Callable[[Any], Stage]] = {
    "stage": lambda method: method,
    "objective": lambda method: Distil(objectives=(method,), epochs=2, batch_size=8),
    "hook": lambda method: Distil(hooks=(method,), epochs=2, batch_size=8),
    "augmenter": lambda method: Distil(augmenters=(method,), epochs=2, batch_size=8),
    "sampler": lambda method: Distil(sampler=method, epochs=2, batch_size=8),
    "optimizer": lambda method: Distil(optimizer=method, epochs=2, batch_size=8),
}
TEACHER = FineTuneTeacher(epochs=1, batch_size=16)
STUDENT = (TEACHER, TruncateLayers(keep=1))


@dataclass(frozen=True)
class Case:
    """A method as the kit runs it: with small settings, after ``before``, on ``task``; forecast for ``sizes``."""

    method: Method
    before: tuple[Stage, ...] = STUDENT
    task: Task = field(default_factory=tiny_task)
    sizes: Sizes = field(default_factory=lambda: kit_sizes())

    @property
    def stage(self) -> Stage:
        """The stage to run: the method itself, or a short distillation that uses it."""
        return _STAGE_OF[self.method.kind](self.method)


def check_all(case: Case, root: Path) -> None:
    """Every check of this module."""
    check_declared(type(case.method))
    check_json(case.method)
    check_cost(case)
    check_run(case, root / "run")
    check_resume(case, root / "resume")
    if isinstance(case.method, TextAugmenter):
        check_rewrite(case.method, case.task, root / "rewrite")


def check_declared(cls: type) -> None:
    """A frozen dataclass with defaults, declarations of the right form, and a method card that names its fields."""
    name = cls.__name__
    assert dataclasses.is_dataclass(cls), f"{name} must be a dataclass"
    assert cls.__dataclass_params__.frozen, f"{name} must be frozen"  # type: ignore[attr-defined]
    kind, source, version = (getattr(cls, part, None) for part in ("kind", "source", "version"))
    assert kind in KINDS, f"{name}.kind must be one of {KINDS}, but is {kind!r}"
    assert isinstance(source, str), f"{name}.source must be a text, but is {source!r}"
    assert re.fullmatch(r"|\d{4}\.\d{4,5}", source), f"{name}.source must be an arXiv id or empty, but is {source!r}"
    assert isinstance(version, int), f"{name}.version must be a whole number, but is {version!r}"
    made: Any = cls()
    assert isinstance(made.facts, Facts), f"{name} must be built by its defaults and declare its facts"
    if isinstance(made, NeedsAssets):
        for asset, wanted in made.assets.items():
            assert isinstance(getattr(made, asset, None), str), f"{name}.assets names {asset!r}, which holds no name"
            assert wanted in ASSET_KINDS, f"{name}.assets says {wanted!r}, which is none of {ASSET_KINDS}"
    card = cls.__doc__ or ""
    missing = [part for part in CARD if part not in card]
    assert not missing, f"{name}'s docstring is its card and lacks {missing}"
    symbols = card[card.index("Symbols:") : card.index("Source:")]
    unnamed = [f.name for f in dataclasses.fields(cls) if not re.search(rf"\b{f.name}\b", symbols)]
    assert not unnamed, f"{name}'s card says nothing of {unnamed}"


def check_json(method: Method) -> None:
    """A method's JSON builds the same method again."""
    assert build(to_json(method)) == method, f"{to_json(method)} builds another method"


def check_cost(case: Case) -> None:
    """A forecast that is finite, not negative, the same twice, and grows with the rows for stages that read them."""
    sizes = case.sizes
    once, again = case.stage.cost(sizes), case.stage.cost(sizes)
    assert once == again, "a cost depends on the sizes alone"
    cost, after = once
    assert isinstance(cost, Cost)
    assert 0 <= cost.macs < float("inf"), f"a cost is finite and not negative, but is {cost.macs}"
    assert after.rows == sizes.rows, "a stage leaves the training rows as they are"
    more, _ = case.stage.cost(replace(sizes, rows=2 * sizes.rows))
    assert more.macs == 0 or abs(more.macs / cost.macs - 2) < 1e-6, "twice the rows are twice the work"


def kit_sizes() -> Sizes:
    """The sizes of a teacher of four layers and a student of two, over 100 rows of 12 tokens."""
    teacher = EncoderShape(100, 64, 32, (LayerShape(4, 8, 64),) * 4, labels=2)
    student = teacher.with_layers(teacher.layers[:2])
    return Sizes(100, 12.0, teacher, student, student, teacher)


def graph_case(method: Method, before: tuple[Stage, ...]) -> Case:
    """A case on a small graph."""
    teacher = graph_shape(20, 2, filled=20.0, hidden=16)
    student = graph_shape(20, 2, filled=20.0, hidden=8)
    return Case(method, before, tiny_graph(), Sizes(100, 6.0, teacher, student, student, teacher))


def check_run(case: Case, root: Path) -> None:
    """Runs twice to the same end, gives the facts' slots, changes no slot it was given and no global stream."""
    models = prepare(case, root)
    before = {name: slot.content for name, slot in models.items()}
    streams = _global_streams()
    made = case.stage.run(models, context(case, root, case.stage, "first"))
    assert _global_streams() == streams, "a global random stream was drawn from"
    for name, slot in models.items():
        held = content_of(slot.builder, slot.config, slot.weights)
        assert held == before[name] == slot.content, f"the slot {name!r} was written to"
    slots = {"teacher", "dense_teacher", "student", "student_init"}
    missing = (case.stage.facts.gives & slots) - set(made)
    assert not missing, f"the stage says that it gives {sorted(missing)}, but does not"
    _check_sizes(case, models, made)
    again = case.stage.run(models, context(case, root, case.stage, "second"))
    assert contents(again) == contents(made), "two runs with equal seeds differ"


def _check_sizes(case: Case, models: Models, made: Models) -> None:
    """The student has the size and the cost that the forecast says, where it knows the shapes; where it knows a bound,
    the student costs no more."""
    if "dense_teacher" not in models or "student" not in made:
        return
    named = ("teacher", "dense_teacher", "student", "student_init")
    shapes = {name: shape_of_slot(models[name]) for name in named if name in models}
    sizes = Sizes(len(case.task.train), 12.0, shapes["teacher"], dense_teacher=shapes["dense_teacher"])
    sizes = replace(sizes, student=shapes.get("student"), student_init=shapes.get("student_init"))
    told = sizes
    for stage in case.before:
        _, told = stage.cost(told)
    sizes = replace(sizes, added=told.added)
    _, after = case.stage.cost(sizes)
    if after.student is None:
        return
    found = shape_of_slot(made["student"])
    if after.is_bound:
        assert found.macs(12.0) <= after.student.macs(12.0), f"the student costs more than its forecast {after.student}"
        return
    made_of, forecast = [(shape.params(), shape.macs(12.0)) for shape in (found, after.student)]
    assert np.allclose(made_of, forecast), f"the student has (params, macs) {made_of}, but its forecast {forecast}"


def check_rewrite(method: TextAugmenter, task: Task, root: Path) -> None:
    """As many rows with the same labels and other texts, the given ones untouched; a warm cache equals a cold one."""
    ctx = tiny_context(root, task, "basics:Distil")
    before, streams = task.content, _global_streams()
    made = method.rewrite(task.train, ctx)
    assert _global_streams() == streams, "a global random stream was drawn from"
    assert task.content == before, "the rows that were given were written to"
    assert len(made) == len(task.train), "rewriting neither adds nor drops rows"
    assert made.labels == task.train.labels, "rewriting keeps labels"
    assert made.texts != task.train.texts, "nothing was rewritten"
    assert method.rewrite(task.train, ctx) == made, "a second time gives other texts"
    cold = method.rewrite(task.train, replace(ctx, cache=root / "cold"))
    assert cold == made, "an empty cache gives other texts"


def check_resume(case: Case, root: Path) -> None:
    """Paused at its third chance and run again, it ends as it does without a pause."""
    models = prepare(case, root)
    whole = case.stage.run(models, context(case, root, case.stage, "whole"))
    calls = 0

    def third() -> bool:
        nonlocal calls
        calls += 1
        return calls == 3

    try:
        made = case.stage.run(models, context(case, root, case.stage, "paused", third))
    except Paused:
        made = case.stage.run(models, context(case, root, case.stage, "paused"))
    assert contents(made) == contents(whole), "a paused and resumed run differs from one that was not"


def prepare(case: Case, root: Path) -> Models:
    """The models after the stages that come before the method."""
    return run_stages(case.before, case.task, root)


def run_stages(stages: Sequence[Stage], task: Task, root: Path, models: Models | None = None) -> Models:
    """The models after these stages, each with the seeds of its own class and a folder of its own."""
    held = Models() if models is None else models
    for position, stage in enumerate(stages):
        held = stage.run(held, tiny_context(root, task, address_of(type(stage)), folder=f"before-{position}"))
    return held


def context(
    case: Case, root: Path, stage: Stage, folder: str, should_pause: Callable[[], bool] = lambda: False
) -> Context:
    """A context for one run of a case's stage."""
    return tiny_context(root, case.task, address_of(type(stage)), folder=folder, should_pause=should_pause)


def contents(models: Models) -> dict[str, str]:
    """The content hash of every slot."""
    return {name: slot.content for name, slot in models.items()}


def _global_streams() -> tuple[Any, ...]:
    kind, keys, *rest = cast(tuple[Any, ...], np.random.get_state())
    return torch.get_rng_state().tolist(), kind, keys.tolist(), *rest, random.getstate()
