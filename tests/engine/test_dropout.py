"""Dropout from a stream of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autokd.engine.checkpoint import load_state, save_state
from autokd.engine.dropout import StreamDropout
from tests.engine.parts import CPU, global_states

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_rate_holds_and_the_expectation_is_kept(dtype: torch.dtype, rate: float) -> None:
    dropped = StreamDropout(1, CPU)(torch.ones(300, 401, dtype=dtype), rate)
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(rate, abs=0.006)
    kept = dropped[dropped != 0].unique()
    assert len(kept) == 1
    assert float(kept) == pytest.approx(1 / (1 - rate), rel=4e-3)
    assert float(dropped.double().mean()) == pytest.approx(1.0, abs=4e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_are_dropped_independently(dtype: torch.dtype) -> None:
    kept = (StreamDropout(2, CPU)(torch.ones(400_000, dtype=dtype), 0.25) != 0).double() - 0.75
    for shift in (1, 2, 3, 4, 8, 64):
        correlation = float((kept[shift:] * kept[:-shift]).mean()) / (0.25 * 0.75)
        assert abs(correlation) < 0.01


def test_gradients_go_through_what_was_kept() -> None:
    value = torch.ones(50, 7, requires_grad=True)
    dropped = StreamDropout(3, CPU)(value, 0.4)
    dropped.sum().backward()
    assert value.grad is not None
    assert torch.equal(value.grad, dropped.detach())


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1023])
def test_any_number_of_entries(size: int) -> None:
    assert StreamDropout(4, CPU)(torch.ones(size), 0.5).shape == (size,)


def test_equal_seeds_give_equal_masks_and_others_do_not() -> None:
    value = torch.ones(1000)
    one, same, other = (StreamDropout(seed, CPU)(value, 0.5) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_state_resumes_through_a_file(tmp_path: Path) -> None:
    stream, again = StreamDropout(5, CPU), StreamDropout(6, CPU)
    stream(torch.ones(9), 0.5)
    save_state(tmp_path, stream.state_dict())
    again.load_state_dict(load_state(tmp_path))
    for _ in range(3):
        assert torch.equal(stream(torch.ones(77), 0.5), again(torch.ones(77), 0.5))


def test_rate_zero_draws_nothing_and_a_fixed_rate_replaces_the_calls() -> None:
    stream = StreamDropout(7, CPU)
    before = stream.state_dict()
    value = torch.ones(5)
    assert stream(value, 0.0) is value
    assert stream.state_dict() == before
    assert StreamDropout(7, CPU, rate=0.0)(value, 0.5) is value


def test_global_streams_are_left_alone() -> None:
    before = global_states()
    StreamDropout(8, CPU)(torch.ones(100), 0.5)
    assert global_states() == before


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        StreamDropout(0, CPU, rate=1.0)
    with pytest.raises(ValueError, match=r"-0\.1"):
        StreamDropout(0, CPU)(torch.ones(1), -0.1)
