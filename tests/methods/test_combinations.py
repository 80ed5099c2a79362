"""Methods together: mixed precision, every method in one loop that is paused again and again, experts with a critic."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autokd.contracts import Models
from autokd.core.errors import Paused, SpecError
from autokd.methods.basics import AdamW, Distil, HiddenMSE, Labels, Logits, Mixup, WordSwap
from autokd.methods.distiller import PKD, ContextualSubstitution, Cosine, HiddenCE
from autokd.methods.mi_alpha import MutualInformation
from autokd.methods.moebert import ToExperts
from autokd.methods.platon import StructuredPlaton
from autokd.methods.stark import SparsifyTeacher
from autokd.pipeline import Pipeline, task_facts
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, TEACHER, contents, run_stages
from autokd.testing.tiny import tiny_task

CRITIC = MutualInformation(alpha=0.5, critic="transformer", layers="emd", hidden=16, out=8)
EVERYTHING = Distil(
    objectives=(Labels(weight=0.5), Logits(), HiddenMSE(), Cosine(layers="emd"), HiddenCE(), PKD(), CRITIC),
    hooks=(StructuredPlaton(every=3, initial=0.0, final=0.4),),
    augmenters=(WordSwap(), ContextualSubstitution(model="masked"), Mixup()),
    optimizer=AdamW(lr=1e-3),
    epochs=1,
    batch_size=8,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages(STUDENT, tiny_task(), tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_run_paused_at_every_chance_equals_one_that_was_not(models: Models, tmp_path: Path, precision) -> None:
    task = tiny_task()
    whole = EVERYTHING.run(models, tiny_context(tmp_path, task, "basics:Distil", folder="whole", precision=precision))
    pauses = 0
    for _ in range(100):
        calls = 0

        def second() -> bool:
            nonlocal calls
            calls += 1
            return calls == 2

        ctx = tiny_context(tmp_path, task, "basics:Distil", folder="paused", precision=precision, should_pause=second)
        try:
            made = EVERYTHING.run(models, ctx)
            break
        except Paused:
            pauses += 1
    assert pauses >= 10
    assert contents(made) == contents(whole)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_experts_are_taught_by_a_critic_and_a_sparse_teacher(tmp_path: Path, precision) -> None:
    task = tiny_task()
    stages = (
        TEACHER,
        ToExperts(experts=2, width=0.5, batch_size=8),
        Distil(epochs=1, batch_size=8),
        SparsifyTeacher(share=0.4, batch_size=8),
        Distil(objectives=(Logits(), HiddenMSE(), CRITIC), epochs=1, batch_size=8),
    )
    Pipeline(stages).check(task_facts(task))
    models = run_stages(stages[:4], task, tmp_path)
    ctx = tiny_context(tmp_path, task, "basics:Distil", precision=precision)
    made = stages[4].run(models, ctx)
    assert all(bool(torch.isfinite(value.float()).all()) for value in made["student"].weights.values())
    assert made["student"].content != models["student"].content


def test_regression_cannot_be_distilled_by_distributions() -> None:
    stages = (*STUDENT, Distil())
    Pipeline(stages).check(frozenset({"text", "classification"}))
    with pytest.raises(SpecError, match=r"basics:Logits .* cannot run where regression holds"):
        Pipeline(stages).check(frozenset({"text", "regression"}))
