"""Contextual substitution: which words change, to what, and that nothing but data and seeds decides it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autokd.contracts import NeedsAssets, Sizes, TextAugmenter, TextModel
from autokd.core.errors import Paused, SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.core.task import Split, Task
from autokd.methods.distiller import ContextualSubstitution
from autokd.methods.distiller.contextual import draw_id, mask_words
from autokd.models.masked_lm import MaskedLM
from autokd.models.tiny import tiny_checkpoint
from autokd.models.tiny_text import tiny_masked_lm
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_regression, tiny_task

METHOD = ContextualSubstitution(model="masked", share=0.5)
WORDS = re.compile(r"\w+")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    return MaskedLM(tiny_masked_lm(tmp_path_factory.mktemp("lm"), tiny_task().train.text_a), torch.device("cpu"))


def context(root: Path, task: Task, **changes: Any) -> Any:
    return tiny_context(root, task, "basics:Distil", **changes)


@pytest.mark.parametrize("task", [tiny_task(), tiny_task(pair=True), tiny_regression()], ids=["one", "pair", "number"])
def test_some_words_are_replaced_in_both_texts(task: Task, tmp_path: Path) -> None:
    assert isinstance(METHOD, TextAugmenter)
    assert isinstance(METHOD, NeedsAssets)
    made = METHOD.rewrite(task.train, context(tmp_path, task))
    assert made.labels == task.train.labels
    assert (made.text_b is None) == (task.train.text_b is None)
    for old, new in zip(task.train.texts, made.texts, strict=True):
        before, after = WORDS.findall(old), WORDS.findall(new)
        assert len(before) == len(after)
        changed = sum(a != b for a, b in zip(before, after, strict=True))
        assert changed == round(0.5 * len(before))  # every masked word becomes another one


def test_places_and_words_are_drawn_anew_for_every_seed_and_row(tmp_path: Path) -> None:
    task = tiny_task()
    one, same, other = (METHOD.rewrite(task.train, context(tmp_path, task, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    confirmed = METHOD.rewrite(task.train, context(tmp_path, task, replicate=1))
    assert confirmed != one
    twins = replace(task, train=Split((task.train.text_a[0],) * 20, None, (0,) * 20))
    assert len(set(METHOD.rewrite(twins.train, context(tmp_path, twins)).text_a)) > 5


def test_a_row_does_not_depend_on_those_behind_it(tmp_path: Path) -> None:
    task = tiny_task()
    whole = METHOD.rewrite(task.train, context(tmp_path, task))
    few = METHOD.rewrite(task.train.take(range(9)), context(tmp_path, task))
    assert few.text_a == whole.text_a[:9]


def test_only_whole_words_come_in_and_the_rest_of_a_text_stays(tmp_path: Path) -> None:
    texts = ("The  river, (old) bank!", "unheardof words: zz-zz don't", "...", "", "[MASK] river [MASK] stone")
    task = replace(tiny_task(), train=Split((*texts, *tiny_task().train.text_a), None, (0,) * 53))
    ctx = context(tmp_path, task)
    made = ContextualSubstitution(model="masked", share=1.0).rewrite(task.train, ctx).text_a
    assert re.fullmatch(r"\w+  \w+, \(\w+\) \w+!", made[0])
    assert re.fullmatch(r"\w+ \w+: \w+ \w+", made[1])
    assert made[2:4] == ("...", "")
    assert re.fullmatch(r"\[\w+\] \w+ \[\w+\] \w+", made[4])
    known = set(MaskedLM(ctx.asset("masked"), ctx.device).words.values())
    assert set(WORDS.findall(" ".join(made[:2]))) <= known


def test_a_word_of_many_tokens_is_one_mask(model: MaskedLM) -> None:
    ids, offsets = model.encode("unheardof")
    assert len(offsets) > 4
    masked, places = mask_words("unheardof", 1.0, model, np.random.default_rng(0))
    assert masked == [ids[0], model.mask_id, ids[-1]]
    assert places == [(0, 9)]


def test_what_is_beyond_the_model_s_positions_stays(model: MaskedLM) -> None:
    text = "water " * 100
    masked, places = mask_words(text, 1.0, model, np.random.default_rng(0))
    assert len(places) == masked.count(model.mask_id) == 60
    assert places[-1][1] < 60 * 6 + 1


def test_a_share_counts_words(model: MaskedLM) -> None:
    text = "the river near the old stone and then far away"
    for share, count in ((0.0, 1), (0.1, 1), (0.3, 3), (0.5, 5), (1.0, 10)):
        _, places = mask_words(text, share, model, np.random.default_rng(3))
        assert len(places) == count
        assert places == sorted(set(places))


def test_a_nucleus_holds_the_likeliest_and_no_more() -> None:
    chances = torch.tensor([0.05, 0.5, 0.0, 0.2, 0.25])
    drawn = Counter(draw_id(chances, 0.7, float(u)) for u in np.linspace(0, 0.9999, 300))
    assert drawn == {1: 200, 4: 100}
    assert {draw_id(chances, 1.0, float(u)) for u in np.linspace(0, 0.9999, 200)} == {0, 1, 3, 4}
    assert {draw_id(chances, 0.01, float(u)) for u in np.linspace(0, 0.9999, 20)} == {1}
    assert draw_id(torch.zeros(4), 0.8, 0.5) is None
    torch.testing.assert_close(draw_id(4 * chances, 0.7, 0.7), 4)  # only shares matter


def test_a_stop_loses_nothing(tmp_path: Path) -> None:
    task = tiny_task(n_train=150)
    whole = METHOD.rewrite(task.train, context(tmp_path, task))
    calls = 0

    def second() -> bool:
        nonlocal calls
        calls += 1
        return calls % 2 == 0

    attempts = 0
    made = None
    while made is None:
        attempts += 1
        ctx = replace(context(tmp_path, task, should_pause=second), cache=tmp_path / "parts")
        try:
            made = METHOD.rewrite(task.train, ctx)
        except Paused:
            assert attempts < 9
    assert made == whole
    assert attempts == 3


def test_the_cache_knows_the_model_by_its_weights(tmp_path: Path) -> None:
    task = tiny_task()
    ctx = context(tmp_path, task)
    first = METHOD.rewrite(task.train, ctx)
    other = tiny_masked_lm(tmp_path / "other", task.train.text_a, seed=9)
    assert METHOD.rewrite(task.train, replace(ctx, asset=lambda name: other)) != first
    same = replace(METHOD, model="masked_too")
    assert same.rewrite(task.train, replace(ctx, asset=lambda name: ctx.asset("masked"))) == first
    assert len(list((tmp_path / "cache" / "texts").glob("*.jsonl"))) == 2


def test_a_model_without_its_head_is_refused(tmp_path: Path) -> None:
    task = tiny_task()
    body = tiny_checkpoint(tmp_path / "body", task.train.text_a)
    with pytest.raises(SpecError, match="holds all its weights"):
        METHOD.rewrite(task.train, replace(context(tmp_path, task), asset=lambda name: body))


def test_its_passes_are_forecast_where_the_model_is_known() -> None:
    shape = EncoderShape(100, 64, 32, (LayerShape(4, 8, 64),) * 2, labels=2)
    known = METHOD.cost(Sizes(100, 12.0, shape, assets={"masked": TextModel(1000.0, 50.0)}))
    assert (known.macs, known.known) == (12 * (1000 + 0.5 * 50), True)
    assert not METHOD.cost(Sizes(100, 12.0, shape)).known


@pytest.mark.parametrize("fields", [{"model": ""}, {"share": 1.5}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_fields_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"ContextualSubstitution.{next(iter(fields))} must be"):
        ContextualSubstitution(**fields)
