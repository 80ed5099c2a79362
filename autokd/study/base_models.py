"""The pretrained models of a study: which a space names as teachers and as students, which of them are at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from autokd import build
from autokd.contracts import BaseModel, StartsFresh
from autokd.core.errors import DataError, SpecError, UsageError
from autokd.core.holes import Choice, Hole
from autokd.core.task import Task
from autokd.models.assets import Asset, find_model
from autokd.models.bases import describe
from autokd.models.text_models import find_asset
from autokd.pipeline import Pipeline, task_facts
from autokd.pipeline import with_teacher as pipeline_with_teacher
from autokd.space import Space, with_options

_DRAWS = 300  # random pipelines that are looked at for one that can run


@dataclass(frozen=True)
class BaseModels:
    """The models at hand. ``described`` tells of each by its name; ``notes`` is what the reader should know.

    ``auto`` names those among the teachers that ``auto`` stands for; ``helpers`` are what methods read beside them;
    ``fresh`` names the stages that train a teacher from nothing, where the space names no model.
    """

    auto: tuple[str, ...]
    teachers: tuple[Asset, ...]
    students: tuple[Asset, ...]
    described: Mapping[str, BaseModel]
    notes: tuple[str, ...]
    helpers: tuple[Asset, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """What teachers are called: by their models, or by the stages that train them."""
        return tuple(asset.name for asset in self.teachers) or self.fresh

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All of them, each once."""
        return tuple({asset.name: asset for asset in (*self.teachers, *self.students, *self.helpers)}.values())


def find_base_models(teachers: Sequence[str], space: Space, task: Task) -> BaseModels:
    """The base models that a space names, where ``auto`` stands for the study's ``teachers``.

    A model that cannot be used is left out with a note. Raises UsageError where that is one of the ``teachers``, or
    every teacher that the space names.
    """
    as_teacher, as_student = named_models(space)
    fresh = _fresh_teachers(space)
    helpers, without = find_helpers(space)
    if fresh and not (as_teacher or as_student):
        if set(teachers) != {"auto"}:
            why = f"{space.name!r} trains its teachers by {', '.join(fresh)}, but got {', '.join(teachers)}"
            raise UsageError(f"a teacher can be named where the space has a place for one; {why}.")
        return BaseModels((), (), (), {}, tuple(_masked_notes(without)), helpers, fresh)
    found: dict[str, Asset] = {}
    told: dict[str, BaseModel] = {}
    missing: dict[str, str] = {}

    def take(asset: Asset) -> str:
        told[asset.name] = describe(asset.name, asset.folder, task.problem, task.label_names)
        found[asset.name] = asset
        return asset.name

    auto = [take(find_model(name)) for name in dict.fromkeys(teachers)] if "auto" in as_teacher else []
    for name in dict.fromkeys([*as_teacher, *as_student]):
        if name != "auto" and name not in found:
            try:
                take(replace(find_model(name), name=name))  # pipelines name it as the space does
            except (UsageError, DataError) as error:
                missing[name] = str(error)
    chosen = tuple(dict.fromkeys([*auto, *(name for name in as_teacher if name in found)]))
    if not chosen:
        why = f": {next(iter(missing.values()))}" if missing else "."
        raise UsageError(f"the space {space.name!r} names no teacher that is at hand{why}")
    notes = [asset.note for asset in found.values() if asset.note]
    notes += [_tuned_note(name) for name in chosen if told[name].is_tuned]
    notes += _masked_notes({**missing, **without})
    students = tuple(found[name] for name in as_student if name in found)
    return BaseModels(
        tuple(dict.fromkeys(auto)), tuple(found[name] for name in chosen), students, told, tuple(notes), helpers
    )


def _masked_notes(missing: Mapping[str, str]) -> list[str]:
    """What is said of models that are not at hand: once for all that lack for the same reason."""
    by_reason: dict[str, list[str]] = {}
    for name, why in missing.items():
        by_reason.setdefault(why.replace(repr(name), "of this name"), []).append(name)
    return [
        f"Masked: {missing[names[0]]}" if len(names) == 1 else f"Masked: {', '.join(names)}. Of each of them: {why}"
        for why, names in by_reason.items()
    ]


def find_helpers(space: Space) -> tuple[tuple[Asset, ...], dict[str, str]]:
    """The models that methods of a space read beside teacher and student, and why others are not at hand."""
    named: dict[str, str] = {}
    for stage in _every_stage(space):
        named.update(build.assets_of(stage))
    found, missing = [], {}
    for name, kind in named.items():
        try:
            found.append(replace(find_asset(name, kind), name=name))
        except (UsageError, DataError) as error:
            missing[name] = str(error)
    return tuple(found), missing


def _tuned_note(name: str) -> str:
    return f"The teacher {name} already has this task's labels: it is evaluated, not trained."


def named_models(space: Space) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the pretrained models in a space's pipelines, in text order: those of teachers, those of students."""
    teachers, students = dict[str, None](), dict[str, None]()
    for stage in _every_stage(space):
        name = getattr(stage, "model", None)
        if isinstance(name, str):
            (teachers if "teacher" in stage.facts.gives else students)[name or "auto"] = None
    return tuple(teachers), tuple(students)


def _fresh_teachers(space: Space) -> tuple[str, ...]:
    """Addresses of the stages in a space's pipelines that train a teacher from nothing, in text order."""
    fresh = [stage for stage in _every_stage(space) if isinstance(stage, StartsFresh)]
    return tuple(dict.fromkeys(build.address_of(type(stage)) for stage in fresh))


def _every_stage(space: Space) -> tuple[Any, ...]:
    """The stages of pipelines that together take every option, in text order; without those that cannot be built."""
    built = (_made(stage) for params in _every_option(space) for stage in space.decode(params)["stages"])
    return tuple(stage for stage in built if stage is not None)


def _every_option(space: Space) -> Iterator[Mapping[str, Any]]:
    """Assignments that together take every option; one, where there is nothing to choose."""
    found = [params for _, _, params in space.examples()]
    return iter(found or list(islice(space.walk(), 1)))


def _made(stage: Mapping[str, Any]) -> Any:
    """The stage itself, None where these fields do not go together: its pipelines are drawn again later."""
    try:
        return build.build(stage)
    except SpecError:
        return None


def with_teachers(space: Space, teachers: Sequence[str]) -> Space:
    """The space with ``auto`` replaced by the models that it stands for: records never say ``auto``.

    Raises UsageError where there are several and the space leaves no choice between them.
    """
    places = [hole for hole in space.holes if isinstance(hole, Choice) and "auto" in hole.options]
    if len(teachers) > 1 and not places:
        raise UsageError(
            f"several teachers need a space that makes the teacher a choice, such as model: {{name: teacher, pick: "
            f"[auto]}}, but {space.name!r} has none and got {', '.join(teachers)}."
        )
    for hole in places:
        named = dict.fromkeys(n for option in hole.options for n in (teachers if option == "auto" else (option,)))
        space = Space.parse(with_options(space.text, hole.name, tuple(named)), space.name)
    return space


def require_legal(space: Space, models: BaseModels, task: Task) -> None:
    """Raises SpecError with the commonest reason where no pipeline of the space was found that can run."""
    draw, facts = np.random.default_rng(0), task_facts(task)
    drawn = (space.sample(lambda hole: _any_value(hole, draw)) for _ in range(_DRAWS))
    reasons: Counter[str] = Counter()
    for params in chain(_every_option(space), drawn):
        try:
            _check(space.decode(params), models, facts)
        except SpecError as error:
            reasons[str(error).rstrip(".")] += 1
        else:
            return
    hint = "" if all(models.described[a.name].is_encoder for a in models.teachers) else _FOREIGN_HINT
    raise SpecError(f"no pipeline of the space {space.name!r} can run: {reasons.most_common(1)[0][0]}.{hint}")


_FOREIGN_HINT = " A teacher that cannot be cut needs students of their own, as the space 'students' has."


def _check(pipeline: Mapping[str, Any], models: BaseModels, facts: frozenset[str]) -> None:
    built = Pipeline.from_json(pipeline)
    if models.teachers:
        built = Pipeline.from_json(pipeline_with_teacher(built.to_json(), models.teachers[0].name))
    at_hand = {*models.described, *(asset.name for asset in models.helpers)}
    for name in (*built.base_models(), *built.assets()):
        if name not in at_hand:
            raise SpecError(f"the model {name!r} is not at hand.")
    built.check(facts, models.described)


def _any_value(hole: Hole, draw: np.random.Generator) -> Any:
    if isinstance(hole, Choice):
        return hole.options[int(draw.integers(len(hole.options)))]
    return int(hole.low) if hole.integer else hole.low
