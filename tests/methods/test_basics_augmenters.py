"""Word swaps and mixup: what they change, what they keep, and what a network makes of a mixture."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.contracts import Batch, BatchTransformer, TextAugmenter, Transform
from autokd.core.errors import SpecError
from autokd.methods.basics import Mixup, WordSwap
from autokd.methods.basics.augmenters import MixupRecipe, swap_words
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_regression, tiny_task


@settings(deadline=None)
@given(text=st.text("ab ", max_size=40), share=st.floats(0, 1), seed=st.integers(0, 100))
def test_swaps_keep_the_words(text: str, share: float, seed: int) -> None:
    swapped = swap_words(text, share, np.random.default_rng(seed))
    assert Counter(swapped.split()) == Counter(text.split())


def test_one_swap_exchanges_two_neighbours() -> None:
    words = [str(i) for i in range(10)]
    swapped = swap_words(" ".join(words), 0.1, np.random.default_rng(0)).split()
    moved = [i for i in range(10) if swapped[i] != words[i]]
    assert len(moved) == 2
    assert moved[1] == moved[0] + 1
    assert swap_words("alone", 1.0, np.random.default_rng(0)) == "alone"


@pytest.mark.parametrize("task", [tiny_task(), tiny_task(pair=True), tiny_regression()])
def test_word_swap_rewrites_every_row(task, tmp_path) -> None:
    method = WordSwap(share=0.5)
    assert isinstance(method, TextAugmenter)
    assert not isinstance(method, BatchTransformer)
    made = method.rewrite(task.train, tiny_context(tmp_path, task, "basics:Distil"))
    assert made.labels == task.train.labels
    assert [Counter(text.split()) for text in made.texts] == [Counter(text.split()) for text in task.train.texts]
    assert made.texts != task.train.texts
    assert method.rewrite(task.train, tiny_context(tmp_path, task, "basics:Distil")) == made
    assert method.rewrite(task.train, tiny_context(tmp_path, task, "basics:Distil", seed=2)) != made


def batch() -> Batch:
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 3, 0, 0], [2, 12, 13, 3, 0]])
    types = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    return Batch(ids, types, (ids > 0).long(), torch.tensor([0, 1, 1]), torch.arange(3))


def test_a_recipe_mixes_values_and_unites_masks() -> None:
    recipe = MixupRecipe(0.25, torch.tensor([1, 2, 0]))
    assert isinstance(recipe, Transform)
    value = torch.tensor([[1.0], [2.0], [4.0]])
    assert recipe.targets(value).flatten().tolist() == [1, 2, 4, 0.25 + 1.5, 0.5 + 3, 1 + 0.75]
    mask = recipe.mask(batch().mask)
    assert mask[3:].sum(1).tolist() == [5, 4, 5]
    assert torch.equal(mask[:3], batch().mask)
    assert torch.equal(recipe.segments(batch().types)[3:], batch().types)


def test_mixup_draws_from_the_stream_it_is_given() -> None:
    method = Mixup(alpha=0.4)
    assert isinstance(method, BatchTransformer)
    assert not isinstance(method, TextAugmenter)
    one, two, three = (method.transform(batch(), np.random.default_rng(seed)).transform for seed in (0, 0, 1))
    assert one.weight == two.weight != three.weight
    assert torch.equal(one.partner, two.partner)
    assert sorted(one.partner.tolist()) == [0, 1, 2]
    draw = np.random.default_rng(0)
    weights = [method.transform(batch(), draw).transform.weight for _ in range(2000)]
    # Beta(0.4, 0.4): mean 1/2, variance 1 / (4 * 1.8)
    assert np.mean(weights) == pytest.approx(0.5, abs=0.03)
    assert np.var(weights) == pytest.approx(1 / 7.2, abs=0.01)


def test_a_network_reads_clean_rows_as_ever_and_mixtures_behind_them() -> None:
    network = build(tiny_slot(3))
    for parameter in network.parameters():
        parameter.data.mul_(10)
    clean = network(batch()).logits

    def seen(weight: float, partner: list[int]) -> torch.Tensor:
        mixed = Batch(**{**vars(batch()), "transform": MixupRecipe(weight, torch.tensor(partner))})
        return network(mixed).logits

    torch.testing.assert_close(seen(0.3, [1, 2, 0])[:3], clean)
    torch.testing.assert_close(seen(0.3, [0, 1, 2])[3:], clean)
    both = seen(0.5, [1, 0, 2])
    torch.testing.assert_close(seen(1.0, [2, 1, 0])[3], clean[0])  # its partner is shorter, so the mask is its own
    assert not torch.allclose(both[3], clean[0], atol=1e-4)


def test_mixup_is_illegal_where_tokens_choose_experts() -> None:
    assert Mixup().facts.forbids == {"hash_routed", "other_tokenizers"}


@pytest.mark.parametrize(("cls", "fields"), [(WordSwap, {"share": 1.2}), (Mixup, {"alpha": 0.0})])
def test_fields_are_checked(cls, fields) -> None:
    with pytest.raises(SpecError, match=f"{cls.__name__}.{next(iter(fields))} must be"):
        cls(**fields)
