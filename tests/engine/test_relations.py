"""Relations of tokens: identities of each form, padding, rotations, widths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autokd.core.errors import SpecError
from autokd.engine.relations import FORMS, mse_logits, mse_softmax, relations

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def states(heads: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """[2, heads, 5, width]"""
    return drawn(2, heads, 5, width, seed=seed, dtype=dtype)


def test_relation_heads_are_dealt_out_of_all_channels_side_by_side() -> None:
    value = states(2, 6, 1)
    found = relations(value, 3)
    joined = torch.cat([value[:, 0], value[:, 1]], -1)  # [2, 5, 12]
    for head in range(3):
        part = joined[..., 4 * head : 4 * head + 4]
        torch.testing.assert_close(found[:, head], part @ part.transpose(1, 2) / 2.0)
    assert torch.equal(relations(value, 2), relations(torch.stack([joined[..., :6], joined[..., 6:]], 1), 2))


@pytest.mark.parametrize(("heads", "width", "left"), [(7, 37, 4), (8, 42, 8), (9, 48, 0), (10, 53, 4), (11, 58, 8)])
def test_channels_that_do_not_fill_a_relation_head_are_left_out(heads: int, width: int, left: int) -> None:
    """Of 64 channels a head and 12 relation heads (the released code's numbers)."""
    assert (64 * heads // 12, 64 * heads - 12 * width) == (width, left)
    value = states(heads, 64, 2)
    other = value.clone()
    if left:
        other[:, -1, :, -left:] = 99.0
    assert torch.equal(relations(value, 12), relations(other, 12))
    if left:
        other[:, -1, :, -left - 1] = 99.0
        assert not torch.equal(relations(value, 12), relations(other, 12))


def test_more_relation_heads_than_channels_are_refused() -> None:
    with pytest.raises(SpecError, match="12 were asked of 8 channels"):
        relations(states(2, 4, 0), 12)


@pytest.mark.parametrize("form", FORMS)
def test_equal_networks_have_no_loss(form: str) -> None:
    value = relations(states(3, 8, 1, torch.float32), 4)
    loss = FORMS[form](value, value.clone(), MASK)
    assert loss.shape == (2,)
    assert float(loss.abs().max()) <= (0.0 if form.startswith("mse") else 1e-7)
    assert float(FORMS[form](relations(states(3, 8, 2), 4), value.double(), MASK).min()) > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_a_rotation_of_each_relation_head_changes_nothing(form: str) -> None:
    student, teacher = states(3, 8, 1), relations(states(2, 8, 2), 4)
    turned = student.transpose(1, 2).reshape(2, 5, 4, 6)
    rotations = torch.stack([torch.linalg.qr(drawn(6, 6, seed=i)).Q for i in range(4)])
    turned = torch.einsum("btrd,rde->btre", turned, rotations).reshape(2, 5, 3, 8).transpose(1, 2)
    before, after = (FORMS[form](relations(value, 4), teacher, MASK) for value in (student, turned))
    torch.testing.assert_close(before, after, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("student", "teacher"), [((7, 8), (12, 8)), ((12, 4), (12, 8)), ((1, 13), (5, 8))])
def test_any_widths_can_be_compared(form: str, student: tuple[int, int], teacher: tuple[int, int]) -> None:
    value = states(*student, seed=1).requires_grad_()
    loss = FORMS[form](relations(value, 12), relations(states(*teacher, seed=2), 12), MASK).sum()
    loss.backward()
    assert bool(torch.isfinite(loss.detach()))
    assert value.grad is not None
    assert bool(torch.isfinite(value.grad).all())


@pytest.mark.parametrize("form", FORMS)
def test_padding_does_not_count_and_every_text_has_its_own_length(form: str) -> None:
    student, teacher = states(3, 8, 1), states(2, 8, 2)
    clean = FORMS[form](relations(student, 4), relations(teacher, 4), MASK)
    dirty = student.clone(), teacher.clone()
    dirty[0][1, :, 3:], dirty[1][1, :, 3:] = 50.0, -50.0
    torch.testing.assert_close(FORMS[form](relations(dirty[0], 4), relations(dirty[1], 4), MASK), clean)
    short = FORMS[form](relations(student[1:, :, :3], 4), relations(teacher[1:, :, :3], 4), MASK[1:, :3])
    torch.testing.assert_close(short[0], clean[1])


def test_the_released_mask_does_nothing_under_squares() -> None:
    """An additive mask of -10000 on both sides cancels: without a real one padding is in the loss."""
    student, teacher = relations(states(3, 8, 1), 4), relations(states(2, 8, 2), 4)
    bias = (1 - MASK)[:, None, None] * -10000.0
    released = functional.mse_loss(student + bias, teacher + bias)
    assert float(released) == pytest.approx(float(functional.mse_loss(student, teacher)), rel=1e-9)
    assert float(mse_logits(student, teacher, MASK).mean()) != pytest.approx(float(released), rel=1e-3)


def test_without_padding_they_are_the_plain_means() -> None:
    student, teacher = relations(states(3, 8, 1), 4), relations(states(2, 8, 2), 4)
    full = torch.ones(2, 5, dtype=torch.long)
    expected = functional.mse_loss(student, teacher)
    assert float(mse_logits(student, teacher, full).mean()) == pytest.approx(float(expected))
    shares = functional.mse_loss(student.softmax(-1), teacher.softmax(-1))
    assert float(mse_softmax(student, teacher, full).mean()) == pytest.approx(float(shares))
    kl = functional.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="sum") / (2 * 4 * 5)
    assert float(FORMS["kl_softmax"](student, teacher, full).mean()) == pytest.approx(float(kl))


def test_products_stay_exact_under_autocast() -> None:
    value = states(2, 8, 3, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(relations(value, 4), relations(value, 4).float())
    assert torch.equal(relations(value.bfloat16(), 4), relations(value.bfloat16().float(), 4))
