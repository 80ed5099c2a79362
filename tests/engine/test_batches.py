"""Batches: padding, order, positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autokd.contracts import Rows
from autokd.core.seeds import Seeds
from autokd.engine.batches import LengthBuckets, collate, few_widths, scoring_batches
from autokd.engine.tokens import make_rows
from tests.engine.parts import some_rows

SEEDS = Seeds(0, "tests:Stage")


def long_tailed_rows(n: int = 1500) -> Rows:
    draw = np.random.Generator(np.random.PCG64(3))
    lengths = np.clip(draw.lognormal(3.5, 0.7, size=n).astype(int), 4, 128)
    ids = [draw.integers(5, 90, size=length).tolist() for length in lengths]
    return make_rows(ids, [[0] * len(row) for row in ids], torch.zeros(n, dtype=torch.int64))


def test_a_batch_holds_its_rows_tokens_and_zeros_elsewhere() -> None:
    rows = make_rows([[5, 6, 7], [8], [9, 4]], [[0, 1, 1], [0], [0, 1]], torch.tensor([1, 0, 1]))
    batch = collate(rows, torch.tensor([2, 0]))
    assert batch.ids.tolist() == [[9, 4, 0], [5, 6, 7]]
    assert batch.types.tolist() == [[0, 1, 0], [0, 1, 1]]
    assert batch.mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.labels.tolist() == [1, 1]
    assert batch.rows.tolist() == [2, 0]
    assert {batch.ids.dtype, batch.types.dtype, batch.mask.dtype} == {torch.int64}


@pytest.mark.parametrize("batch_size", [8, 32])
def test_every_row_comes_once_an_epoch_with_little_padding(batch_size: int) -> None:
    rows = long_tailed_rows()
    source = LengthBuckets(rows, batch_size, SEEDS)
    for _ in range(2):
        batches = [source.next() for _ in range(source.steps_per_epoch)]
        seen = torch.cat([batch.rows for batch in batches])
        assert sorted(seen.tolist()) == list(range(len(rows)))
        real = sum(int(batch.mask.sum()) for batch in batches)
        assert 1 - real / sum(batch.mask.numel() for batch in batches) < 0.05


def test_widths_are_few_hold_every_row_and_stay_within_the_longest() -> None:
    widths = [few_widths(longest, 300) for longest in range(1, 301)]
    assert all(longest <= width <= 1.06 * longest for longest, width in enumerate(widths, start=1))
    assert max(widths) == 300
    assert len(set(widths[:128])) == 64
    assert few_widths(33, 33) == 33


def test_epochs_differ_and_batches_are_not_sorted() -> None:
    source = LengthBuckets(long_tailed_rows(), 16, SEEDS)
    first = [source.next() for _ in range(source.steps_per_epoch)]
    second = [source.next() for _ in range(source.steps_per_epoch)]
    assert [batch.rows.tolist() for batch in first] != [batch.rows.tolist() for batch in second]
    widths = [batch.ids.shape[1] for batch in first]
    steps = np.sign(np.diff(widths))
    assert 0.3 < (steps > 0).mean() < 0.7


def test_equal_lengths_need_no_sorting() -> None:
    rows = some_rows(64, low=7, high=8)
    source = LengthBuckets(rows, 8, SEEDS)
    order = torch.cat([source.next().rows for _ in range(8)]).numpy()
    expected = SEEDS.numpy("data:0").permutation(64)
    assert set(map(tuple, order.reshape(8, 8).tolist())) == set(map(tuple, expected.reshape(8, 8).tolist()))


@pytest.mark.parametrize("made", [0, 3, 5, 13])
def test_a_position_is_restored(made: int) -> None:
    rows = some_rows(37)
    whole, paused, resumed = (LengthBuckets(rows, 8, SEEDS) for _ in range(3))
    for _ in range(made):
        whole.next()
        paused.next()
    resumed.load_state_dict(paused.state_dict())
    for _ in range(12):
        assert torch.equal(whole.next().ids, resumed.next().ids)


def test_seeds_decide_the_order() -> None:
    rows = some_rows()
    one, same, other = (LengthBuckets(rows, 8, Seeds(seed, "tests:Stage")).next() for seed in (0, 0, 1))
    assert torch.equal(one.rows, same.rows)
    assert not torch.equal(one.rows, other.rows)


def test_scoring_batches_depend_on_the_rows_alone() -> None:
    rows = some_rows(21)
    batches = list(scoring_batches(rows, 8))
    assert [len(batch) for batch in batches] == [8, 8, 5]
    places = torch.cat([batch.rows for batch in batches])
    assert sorted(places.tolist()) == list(range(21))
    assert rows.lengths[places].tolist() == sorted(rows.lengths.tolist())


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        LengthBuckets(some_rows(), 0, SEEDS)
