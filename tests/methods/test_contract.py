"""Every method that an address can name keeps the contract of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from autokd.build import address_of, all_methods, build, defaults
from autokd.contracts import ANY_DATA, TEXT, Context, Cost, Facts, Models, OptimizerMethod, Sizes
from autokd.core.errors import SpecError
from autokd.methods.adashift import AdaShift
from autokd.methods.autodistil import ExtractSubnet, LoadSupernet, SearchSubnet, TrainSupernet
from autokd.methods.basics import (
    AdamW,
    Distil,
    FineTuneTeacher,
    HiddenMSE,
    Labels,
    LoadStudent,
    Logits,
    MagnitudePruning,
    Mixup,
    PruneToShape,
    Relations,
    Rewind,
    TruncateLayers,
    WordSwap,
)
from autokd.methods.distiller import PKD, BackTranslation, ContextualSubstitution, Cosine, HiddenCE
from autokd.methods.graph import GcnStudent, MlpStudent, TrainTeacher
from autokd.methods.mi_alpha import MutualInformation
from autokd.methods.mixture_of_supernets import TrainSupernet as TrainMixture
from autokd.methods.moebert import LayerTransfer, LoadBalance, ToExperts
from autokd.methods.platon import Platon, StructuredPlaton
from autokd.methods.stark import SparsifyTeacher
from autokd.methods.ted import FilteredHidden, LearnFilters, ProjectedHidden
from autokd.methods.thanos import BanditSampler, Thanos, Uniform
from autokd.space.library import shipped_spaces
from autokd.space.space import Space
from autokd.testing.methods import STUDENT, TEACHER, Case, check_all, check_cost, check_declared, check_run, graph_case

METHODS = {address_of(cls): cls for cls in all_methods()}

# How each method is run in the contract kit: small, and after the stages that it needs. A new method adds a line.
SHORT = Distil(epochs=1, batch_size=16)
SUPERNET = (TEACHER, TrainSupernet(space="base", epochs=1, batch_size=16))
GATED = ToExperts(experts=2, width=0.5, routing="gate_token", batch_size=8)
GRAPH_TEACHER = TrainTeacher(hidden=16, epochs=3)
GRAPH_STUDENT = (GRAPH_TEACHER, GcnStudent(hidden=8))

CASES = {
    "adashift:AdaShift": Case(AdaShift(lr=1e-3, keep=2)),
    "autodistil:ExtractSubnet": Case(ExtractSubnet(layers=0.0, hidden=0.5), before=SUPERNET),
    "autodistil:LoadSupernet": Case(LoadSupernet(), before=(TEACHER,)),
    "autodistil:SearchSubnet": Case(SearchSubnet(macs=0.8, share=0.5), before=SUPERNET),
    "autodistil:TrainSupernet": Case(TrainSupernet(space="base", epochs=2, batch_size=16), before=(TEACHER,)),
    "basics:AdamW": Case(AdamW(lr=1e-3)),
    "basics:Distil": Case(Distil(objectives=(Labels(), Logits()), epochs=2, batch_size=8)),
    "basics:FineTuneTeacher": Case(FineTuneTeacher(epochs=2, batch_size=8), before=()),
    "basics:HiddenMSE": Case(HiddenMSE(layers="last")),
    "basics:Labels": Case(Labels()),
    "basics:LoadStudent": Case(LoadStudent(model="small"), before=(TEACHER,)),
    "basics:Logits": Case(Logits(form="symmetric_kl")),
    "basics:MagnitudePruning": Case(MagnitudePruning(begin=0.0, end=0.5, every=2)),
    "basics:Mixup": Case(Mixup()),
    "basics:PruneToShape": Case(PruneToShape(hidden=0.5, batch_size=8), before=(TEACHER,)),
    "basics:Relations": Case(Relations(form="kl_softmax", heads=4)),
    "basics:Rewind": Case(Rewind(), before=(*STUDENT, SHORT)),
    "basics:TruncateLayers": Case(TruncateLayers(keep=1), before=(TEACHER,)),
    "basics:WordSwap": Case(WordSwap()),
    "distiller:BackTranslation": Case(BackTranslation(forth="there", back="back", beams=2)),
    "distiller:ContextualSubstitution": Case(ContextualSubstitution(model="masked", share=0.5)),
    "distiller:Cosine": Case(Cosine(layers="emd")),
    "distiller:HiddenCE": Case(HiddenCE()),
    "distiller:PKD": Case(PKD(layers="last")),
    "graph:GcnStudent": graph_case(GcnStudent(hidden=8, residual=True), before=(GRAPH_TEACHER,)),
    "graph:MlpStudent": graph_case(MlpStudent(hidden=8, activation="tanh"), before=(GRAPH_TEACHER,)),
    "graph:TrainTeacher": graph_case(TrainTeacher(hidden=16, epochs=4), before=()),
    "mi_alpha:MutualInformation": Case(MutualInformation(hidden=16, out=8)),
    "mixture_of_supernets:TrainSupernet": Case(TrainMixture(space="base", epochs=2, batch_size=16), before=(TEACHER,)),
    "moebert:LayerTransfer": Case(LayerTransfer(weight=2.0)),
    "moebert:LoadBalance": Case(LoadBalance(), before=(TEACHER, GATED)),
    "moebert:ToExperts": Case(ToExperts(experts=2, width=0.5, batch_size=8), before=(TEACHER,)),
    "platon:Platon": Case(Platon(every=2, initial=0.0, final=0.4)),
    "platon:StructuredPlaton": Case(StructuredPlaton(every=2, initial=0.0, final=0.4)),
    "stark:SparsifyTeacher": Case(SparsifyTeacher(batch_size=8), before=(*STUDENT, SHORT)),
    "ted:FilteredHidden": Case(FilteredHidden(), before=(*STUDENT, SHORT, LearnFilters(epochs=1))),
    "ted:LearnFilters": Case(LearnFilters(epochs=2, batch_size=8), before=(*STUDENT, SHORT)),
    "ted:ProjectedHidden": Case(ProjectedHidden()),
    "thanos:BanditSampler": graph_case(BanditSampler(k=2), GRAPH_STUDENT),
    "thanos:Thanos": graph_case(Thanos(k=2, restart=4), GRAPH_STUDENT),
    "thanos:Uniform": graph_case(Uniform(k=2), GRAPH_STUDENT),
}


@pytest.mark.parametrize("use", METHODS)
def test_contract(use: str, tmp_path: Path) -> None:
    assert use in CASES, f"{use} has no case here"
    assert type(CASES[use].method) is METHODS[use]
    check_all(CASES[use], tmp_path)


@pytest.mark.parametrize("use", METHODS)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400], ids=["inf", "nan", "1e400"])
def test_numbers_are_finite(use: str, value: float) -> None:
    for name, default in defaults(use).items():
        if isinstance(default, float):
            with pytest.raises(SpecError, match=rf"\.{name} must be a "):
                build({"use": use, name: value})


@pytest.mark.parametrize("optimizer", [AdamW(lr=1e-3), AdaShift(lr=1e-3, keep=2)], ids=["adamw", "adashift"])
def test_optimizers_work_on_graphs_too(optimizer: OptimizerMethod, tmp_path: Path) -> None:
    assert optimizer.facts.data == ANY_DATA
    check_run(graph_case(optimizer, GRAPH_STUDENT), tmp_path)


def test_a_new_student_has_no_experts_of_the_one_before() -> None:
    facts = {use: case.method.facts for use, case in CASES.items()}
    makers = {use for use, told in facts.items() if "student_init" in told.gives and told.data == TEXT}
    assert {"basics:TruncateLayers", "basics:PruneToShape", "basics:LoadStudent", "moebert:ToExperts"} < makers
    for use in makers:
        assert {"hash_routed", "gated"} <= facts[use].drops | facts[use].gives, use


def test_every_case_is_of_a_method() -> None:
    assert set(CASES) == set(METHODS)


@pytest.mark.parametrize("use", METHODS)
def test_every_method_is_in_a_shipped_space(use: str) -> None:
    spaces = [Space.parse(path.read_text(encoding="utf-8"), path.stem) for path in shipped_spaces()]
    assert any(use in space.uses() for space in spaces), f"{use} is in none of {[space.name for space in spaces]}"


def test_the_kit_notices_a_card_without_a_field() -> None:
    @dataclass(frozen=True)
    class Wordy:
        """What: nothing. Equation: none. Symbols: depth only. Source: none. Differences: none."""

        kind: ClassVar[str] = "objective"
        source: ClassVar[str] = ""
        version: ClassVar[int] = 1
        facts: ClassVar[Facts] = Facts()
        width: int = 1

    with pytest.raises(AssertionError, match=r"says nothing of \['width'\]"):
        check_declared(Wordy)


def test_the_kit_notices_a_written_slot_and_a_global_draw(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Writes(Rewind):
        def run(self, models: Models, ctx: Context) -> Models:
            next(iter(models["student_init"].weights.values())).add_(1)
            return super().run(models, ctx)

    @dataclass(frozen=True)
    class Draws(Rewind):
        def run(self, models: Models, ctx: Context) -> Models:
            torch.rand(1)
            return super().run(models, ctx)

    for cls, message in ((Writes, "was written to"), (Draws, "global random stream")):
        cls.__module__, cls.__name__ = Rewind.__module__, "Rewind"
        with pytest.raises(AssertionError, match=message):
            check_run(Case(cls()), tmp_path / message.replace(" ", "-"))


def test_the_kit_notices_a_forecast_that_does_not_follow_the_rows() -> None:
    @dataclass(frozen=True)
    class Flat(Rewind):
        def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
            return Cost(5.0), sizes

    with pytest.raises(AssertionError, match="twice the rows"):
        check_cost(Case(Flat()))


def test_the_kit_notices_a_student_of_another_size_than_forecast(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Bigger(Rewind):
        def run(self, models: Models, ctx: Context) -> Models:
            return models.with_slots(student=models["dense_teacher"])

    Bigger.__module__, Bigger.__name__ = Rewind.__module__, "Rewind"
    with pytest.raises(AssertionError, match="but its forecast"):
        check_run(Case(Bigger()), tmp_path)
