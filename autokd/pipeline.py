"""A pipeline: stages in order, checked by folding over their facts, forecast by folding over their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from autokd import build
from autokd.contracts import ANY_DATA, BaseModel, Cost, Facts, Method, Sizes, Stage, StartsFromBase
from autokd.core.address import source_version
from autokd.core.canonical import Json
from autokd.core.errors import SpecError
from autokd.core.task import Task

FORMS = ("float32", "onnx-int8")

_OTHER_TOKENIZERS = "other_tokenizers"
_NO_BASES: Mapping[str, BaseModel] = MappingProxyType({})
_OF_NOTHING = frozenset[str]()

Held = Mapping[str, frozenset[str]]  # the facts that hold, each with the slots that it was made from


@dataclass(frozen=True)
class Pipeline:
    """Stages in the order in which they run, and the form in which the result is deployed."""

    stages: tuple[Stage, ...]
    form: str = "float32"

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Pipeline:
        """Read ``{"stages": [...], "form": "float32"}``. Raises SpecError for what is not of that form."""
        unknown_keys = sorted(set(value) - {"stages", "form"}) if isinstance(value, Mapping) else ["?"]
        if unknown_keys or not isinstance(value.get("stages"), (list, tuple)) or not value["stages"]:
            raise SpecError(f"a pipeline is an object with a list 'stages' and a 'form', but got {value!r:.200}.")
        form = value.get("form", "float32")
        if form not in FORMS:
            raise SpecError(f"a pipeline's form must be one of {list(FORMS)}, but got {form!r}.")
        stages = []
        for item in value["stages"]:
            method = build.build(item)
            if method.kind != "stage":
                raise SpecError(f"a pipeline is made of stages, but {item.get('use')} is of kind {method.kind!r}.")
            stages.append(method)
        return Pipeline(tuple(stages), form)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Json]:
        """The pipeline with every default written out."""
        return {"stages": [build.to_json(stage) for stage in self.stages], "form": self.form}

    @property
    def n_shared(self) -> int:
        """How many leading stages are run once per study and shared by all trials that begin alike."""
        count = 0
        while count < len(self.stages) and self.stages[count].shared:
            count += 1
        return count

    def check(self, facts: frozenset[str], bases: Mapping[str, BaseModel] = _NO_BASES) -> None:
        """Fold the stages' facts from those that hold at the start.

        ``bases`` tells of the pretrained models that the stages name; one that it does not tell of is taken for an
        encoder with the teacher's tokenizer. Raises SpecError at the first stage that cannot run, and for a pipeline
        that does not end with a trained student.
        """
        if self.form != "float32" and "text" not in facts:
            raise SpecError(f"the form {self.form!r} is one of networks that read texts, but the task has none.")
        held: Held = dict.fromkeys(facts, _OF_NOTHING)
        for position, stage in enumerate(self.stages, 1):
            held = _after(position, stage, held, bases)
        if not {"student", "trained_student"} <= held.keys():
            raise SpecError(
                f"a pipeline must end with a trained student; at the end of this one there are {_listed(held)}."
            )

    def forecast(self, sizes: Sizes, start: int = 0) -> tuple[Cost, Sizes]:
        """Multiply-accumulates of the stages from ``start`` on, and the sizes at the end."""
        costs, after = self.stage_costs(sizes)
        return sum(costs[start:], Cost(0.0)), after

    def stage_costs(self, sizes: Sizes) -> tuple[list[Cost], Sizes]:
        """Each stage's forecast, and the sizes at the end."""
        costs = []
        for stage in self.stages:
            cost, sizes = stage.cost(sizes)
            costs.append(cost)
        return costs, sizes

    def base_models(self) -> tuple[str, ...]:
        """Names of the pretrained models that the stages start from, in order of use."""
        names = [getattr(stage, "model", None) for stage in self.stages]
        return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))

    @property
    def teacher(self) -> str:
        """The name of the first pretrained model, or of the stage that trains a teacher from nothing."""
        return next(iter(self.base_models()), build.address_of(type(self.stages[0])))

    def assets(self) -> dict[str, str]:
        """Names of the pretrained models that methods read beside those, and what each must be, in order of use."""
        return {name: kind for stage in self.stages for name, kind in build.assets_of(stage).items()}

    def versions(self, stop: int | None = None) -> list[str]:
        """Versions of the code of the first stages and of the methods inside them, for cache keys."""
        found: list[Method] = []
        for stage in self.stages[:stop]:
            found += [stage, *build.nested(stage)]
        return [f"{build.address_of(type(m))}@{source_version(type(m))}" for m in found]


def with_teacher(pipeline: Mapping[str, Any], teacher: str) -> dict[str, Any]:
    """A resolved pipeline's JSON with ``auto`` replaced by the model that it stands for: records never say ``auto``."""
    named = [{**stage, "model": teacher} if stage.get("model") == "auto" else stage for stage in pipeline["stages"]]
    return {**pipeline, "stages": named}


def task_facts(task: Task) -> frozenset[str]:
    """The facts that hold before the first stage: what the task's rows are, and what is asked of them."""
    return frozenset({task.kind, task.problem})


def _after(position: int, stage: Stage, held: Held, bases: Mapping[str, BaseModel]) -> Held:
    place = f"stage {position} ({build.address_of(type(stage))})"
    own = _facts(stage, bases)
    declared = [(stage, own), *((method, method.facts) for method in build.nested(stage))]
    for method, facts in declared:
        missing, forbidden = facts.needs - held.keys(), facts.forbids & held.keys()
        name = place if method is stage else f"{build.address_of(type(method))} in {place}"
        if not facts.data & held.keys():
            data, kinds = ", ".join(sorted(ANY_DATA & held.keys())), " or ".join(sorted(facts.data))
            raise SpecError(f"{name} works on data of the kind {kinds}, but the task's are of the kind {data}.")
        if missing:
            raise SpecError(f"{name} needs {_listed(missing)}; before it there are {_listed(held)}.")
        if _OTHER_TOKENIZERS in forbidden:
            raise SpecError(_needs_same_tokens(name))
        if forbidden:
            raise SpecError(f"{name} cannot run where {_listed(forbidden)} holds; before it there are {_listed(held)}.")
    return _folded(held, [facts for _, facts in declared])


def _facts(stage: Stage, bases: Mapping[str, BaseModel]) -> Facts:
    """What a stage declares, of the model that it starts from where that is known."""
    if isinstance(stage, StartsFromBase) and stage.model in bases:
        return stage.facts_with(bases[stage.model])
    return stage.facts


def _folded(held: Held, declared: Sequence[Facts]) -> Held:
    """The facts after a stage, by the rules that ``Facts`` states for values, slots and students' tokenizers."""
    gives = {fact: facts.of for facts in declared for fact in facts.gives}
    drops = frozenset().union(*(facts.drops for facts in declared))
    replaced = {fact.partition(":")[0] for fact in gives if ":" in fact} | drops
    after = {
        fact: of for fact, of in held.items() if fact.partition(":")[0] not in replaced and of.isdisjoint(gives)
    } | gives
    if "student_tokenizer" in drops:
        after |= {f"student_tokenizer:{value}": _OF_NOTHING for value in _values(after, "teacher_tokenizer")}
    teacher, student = _values(after, "teacher_tokenizer"), _values(after, "student_tokenizer")
    after.pop(_OTHER_TOKENIZERS, None)
    if teacher and student and teacher != student:
        after[_OTHER_TOKENIZERS] = _OF_NOTHING
    return after


def _values(facts: Iterable[str], name: str) -> set[str]:
    return {value for fact in facts for found, _, value in [fact.partition(":")] if found == name and value}


def _needs_same_tokens(name: str) -> str:
    """Why a method cannot run where teacher and student split texts differently, and which objectives can."""
    objectives = [cls for cls in build.all_methods() if cls.kind == "objective"]  # type: ignore[attr-defined]
    made = [build.build({"use": use}) for use in map(build.address_of, objectives) if not build.required(use)]
    legal = sorted(build.address_of(type(m)) for m in made if _OTHER_TOKENIZERS not in m.facts.forbids)
    return (
        f"{name} needs the same tokens in teacher and student, but they have different tokenizers; "
        f"objectives that compare whole rows remain: {', '.join(legal)}."
    )


def _listed(facts: Iterable[str]) -> str:
    shown = {fact for fact in facts if ":" not in fact}  # hashes tell a reader nothing
    return ", ".join(sorted(shown)) or "no facts"
