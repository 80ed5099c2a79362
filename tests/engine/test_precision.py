"""Precision: the self-test must notice rounded products."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from autokd.engine import precision
from tests.engine.parts import CPU


@pytest.fixture
def restored() -> Iterator[None]:
    settings = torch.backends.mkldnn.matmul
    before, threads = settings.fp32_precision, torch.get_num_threads()
    precision.choose_float32_matmul.cache_clear()
    yield
    settings.fp32_precision = before
    torch.set_num_threads(threads)
    precision.choose_float32_matmul.cache_clear()


@pytest.mark.usefixtures("restored")
def test_after_the_choice_products_are_those_of_float32() -> None:
    precision.set_threads(1)
    assert precision.products_are_float32()
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("restored")
def test_rounded_products_are_noticed_and_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, before = torch.bmm, torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(torch, "bmm", lambda a, b: exact(a.bfloat16().float(), b.bfloat16().float()))
    assert not precision.products_are_float32()
    assert not precision.choose_float32_matmul()
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_autocast_is_off_for_float32_and_on_for_bfloat16() -> None:
    left = torch.ones(2, 2)
    with precision.autocast(CPU, torch.float32):
        assert (left @ left).dtype == torch.float32
    with precision.autocast(CPU, torch.bfloat16):
        assert (left @ left).dtype == torch.bfloat16


def test_names() -> None:
    assert precision.dtype_of(precision.best_precision(CPU)) in (torch.float32, torch.bfloat16)
    with pytest.raises(ValueError, match="float16"):
        precision.dtype_of("float16")
    with pytest.raises(ValueError, match="one thread"):
        precision.set_threads(0)
