"""Back-translation, and policies: text augmenters in order, one copy beside the rows, made once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from autokd.contracts import Context, Cost, Facts, Models, Sizes, TextModel
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.core.task import Split
from autokd.methods.basics import Distil, Labels, Logits, Mixup, WordSwap
from autokd.methods.distiller import BackTranslation, ContextualSubstitution
from autokd.models.tiny_text import tiny_translator
from autokd.testing.context import tiny_context
from autokd.testing.methods import STUDENT, contents, run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

BACK = BackTranslation(forth="there", back="back", beams=1)
CONTEXTUAL = ContextualSubstitution(model="masked", share=0.5)
SWAP = WordSwap(share=0.5)


def context(root: Path, task: Any, **changes: Any) -> Context:
    return tiny_context(root, task, "basics:Distil", **changes)


@pytest.mark.parametrize("task", [tiny_task(), tiny_task(pair=True), tiny_regression()], ids=["one", "pair", "number"])
def test_texts_come_back_in_other_words(task: Any, tmp_path: Path) -> None:
    made = BACK.rewrite(task.train, context(tmp_path, task))
    assert made.labels == task.train.labels
    assert made.texts != task.train.texts
    assert all(text.strip() for text in made.texts)
    # Nothing is drawn: other seeds share the texts, and their file.
    assert BACK.rewrite(task.train, context(tmp_path, task, seed=5, replicate=2)) == made
    assert len(list((tmp_path / "cache" / "texts").glob("*.jsonl"))) == 1


def test_what_comes_back_empty_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autokd.models import translator

    monkeypatch.setattr(translator.Translator, "translate", lambda self, texts: [" "] * len(texts))
    task = tiny_task()
    assert BACK.rewrite(task.train, context(tmp_path, task)) == task.train


def test_models_are_known_by_their_weights_and_beams_count(tmp_path: Path) -> None:
    task = tiny_task()
    ctx = context(tmp_path, task)
    first = BACK.rewrite(task.train, ctx)
    other = tiny_translator(tmp_path / "other", task.train.text_a, seed=9)
    changed = replace(ctx, asset=lambda name: other if name == "back" else ctx.asset(name))
    assert BACK.rewrite(task.train, changed) != first
    wider = replace(BACK, beams=3)
    wider.rewrite(task.train, ctx)
    assert len(list((tmp_path / "cache" / "texts").glob("*.jsonl"))) == 3


@pytest.mark.parametrize("fields", [{"forth": ""}, {"back": ""}, {"beams": 0}])
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"BackTranslation.{next(iter(fields))} must be"):
        BackTranslation(**fields)


@dataclass(frozen=True)
class Mark:
    """Puts a mark before every text, so that an order can be read off."""

    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"text"}))

    mark: str = "a"

    def rewrite(self, rows: Split, ctx: Context) -> Split:
        return rows.with_texts([f"{self.mark} {text}" for text in rows.texts])

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(7.0)


def trained_on(stage: Distil, task: Any, root: Path, models: Models) -> Split:
    """The rows that a distillation has tokenised to train on."""
    seen: list[Split] = []
    ctx = context(root, task)

    def encode(split: Split, slot: Any) -> Any:
        seen.append(split)
        return ctx.encode(split, slot)

    stage.run(models, replace(ctx, encode=encode))
    assert len(seen) == 1
    return seen[0]


@pytest.mark.parametrize("pair", [False, True])
def test_a_policy_makes_one_copy_in_its_order(pair: bool, tmp_path: Path) -> None:
    task = tiny_task(n_train=12, pair=pair)
    models = run_stages(STUDENT, task, tmp_path)
    before = task.content
    stage = Distil(augmenters=(Mark("a"), Mixup(), Mark("b"), Mark("c")), epochs=1, batch_size=8)
    rows = trained_on(stage, task, tmp_path, models)
    assert task.content == before
    assert len(rows) == 24
    assert rows.take(range(12)) == task.train
    copy = rows.take(range(12, 24))
    assert copy.labels == task.train.labels
    assert copy.texts == tuple(f"c b a {text}" for text in task.train.texts)


def test_unlabelled_rows_are_rewritten_with_the_others(tmp_path: Path) -> None:
    task = tiny_task(n_train=8)
    task = replace(task, unlabelled=Split(("old river", "new stone"), None, (-100, -100)))
    models = run_stages(STUDENT, task, tmp_path)
    rows = trained_on(Distil(augmenters=(Mark(),), epochs=1, batch_size=8), task, tmp_path, models)
    assert rows.text_a[8:10] == ("old river", "new stone")
    assert rows.text_a[18:] == ("a old river", "a new stone")


def test_all_fifteen_policies_differ_and_each_ends_where_its_steps_end(tmp_path: Path) -> None:
    task = tiny_task(n_train=12)
    ctx = context(tmp_path, task)
    methods = (SWAP, CONTEXTUAL, BACK)
    policies = [p for n in (1, 2, 3) for p in itertools.permutations(methods, n)]
    assert len(policies) == 15
    made = {}
    for policy in policies:
        rows = task.train
        for method in policy:
            rows = method.rewrite(rows, ctx)
        made[policy] = Distil(augmenters=policy)._texts(ctx).take(range(12, 24))
        assert made[policy] == rows
    assert len({rows.texts for rows in made.values()}) == 15


def test_a_policy_with_models_trains_and_a_warm_cache_changes_nothing(tmp_path: Path) -> None:
    task = tiny_task(n_train=16)
    models = run_stages(STUDENT, task, tmp_path)
    stage = Distil(
        objectives=(Labels(), Logits()), augmenters=(CONTEXTUAL, SWAP, BACK, Mixup()), epochs=1, batch_size=8
    )
    cold = contents(stage.run(models, context(tmp_path, task, folder="cold")))
    assert contents(stage.run(models, context(tmp_path, task, folder="warm"))) == cold
    again = replace(context(tmp_path, task, folder="again"), cache=tmp_path / "elsewhere")
    assert contents(stage.run(models, again)) == cold


def test_the_forecast_counts_twice_the_rows_and_what_rewrites_them() -> None:
    shape = EncoderShape(100, 64, 32, (LayerShape(4, 8, 64),) * 4, labels=2)
    student = shape.with_layers(shape.layers[:2])
    models = {"masked": TextModel(10.0, 4.0), "there": TextModel(3.0, 5.0), "back": TextModel(2.0, 7.0)}
    sizes = Sizes(100, 12.0, shape, student, unlabelled=20, assets=models)
    plain, _ = Distil(epochs=1).cost(sizes)
    swapped, _ = Distil(epochs=1, augmenters=(SWAP,)).cost(sizes)
    assert swapped.macs == 2 * plain.macs
    both, _ = Distil(epochs=1, augmenters=(CONTEXTUAL, SWAP, BACK)).cost(sizes)
    assert both.macs == pytest.approx(swapped.macs + 120 * 12 * ((10 + 0.5 * 4) + (3 + 5) + (2 + 7)))
    assert both.known
    unknown, _ = Distil(epochs=1, augmenters=(BACK,)).cost(replace(sizes, assets={}))
    assert not unknown.known
    assert BackTranslation(forth="there", back="back", beams=4).cost(sizes).macs == 12 * (3 + 4 * 5 + 2 + 4 * 7)


def test_no_global_stream_is_drawn_from(tmp_path: Path) -> None:
    task = tiny_task(n_train=8)
    ctx = context(tmp_path, task)
    for method in (CONTEXTUAL, BACK):
        ctx.asset(method.model if isinstance(method, ContextualSubstitution) else method.forth)
        before = torch.get_rng_state()
        method.rewrite(task.train, ctx)
        assert torch.equal(torch.get_rng_state(), before)
