"""Losses against closed forms and each other."""

from __future__ import annotations

import math

import pytest
import torch

from autokd.engine import losses

STUDENT = torch.tensor([[1.0, -0.5, 0.2], [0.0, 2.0, -1.0]], requires_grad=True)
TEACHER = torch.tensor([[0.3, 0.3, -2.0], [1.0, 1.0, 1.0]])


def gradient(loss: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, of)
    return found


def test_kl_by_hand() -> None:
    # p = (3/4, 1/4), q = (1/2, 1/2): sum p log(p / q)
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(losses.kl_divergence(student, teacher)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.kl_divergence(teacher, teacher)) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_cross_entropy_differs_from_kl_by_the_teachers_entropy(temperature: float) -> None:
    soft = torch.softmax(TEACHER / temperature, 1)
    entropy = -(soft * soft.log()).sum(1).mean()
    divergence = losses.kl_divergence(STUDENT, TEACHER, temperature, tau_squared=False)
    crossed = losses.soft_cross_entropy(STUDENT, TEACHER, temperature, tau_squared=False)
    assert torch.allclose(crossed - divergence, entropy)
    assert torch.allclose(gradient(crossed, STUDENT), gradient(divergence, STUDENT), atol=1e-7)


@pytest.mark.parametrize("loss", [losses.kl_divergence, losses.soft_cross_entropy])
def test_tau_squared_is_a_factor(loss) -> None:  # type: ignore[no-untyped-def]
    assert torch.allclose(loss(STUDENT, TEACHER, 3.0), 9.0 * loss(STUDENT, TEACHER, 3.0, tau_squared=False))


def test_hard_targets_are_the_usual_cross_entropy() -> None:
    labels = torch.tensor([2, 0])
    hot = torch.nn.functional.one_hot(labels, 3).float()
    expected = torch.nn.functional.cross_entropy(STUDENT, labels)
    assert torch.allclose(losses.target_cross_entropy(STUDENT, hot), expected)


def hidden(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, 8, generator=draw).to(dtype).requires_grad_()
    teacher = torch.randn(3, 5, 8, generator=draw).to(dtype)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])
    return student, teacher, mask


def test_masked_error_counts_real_tokens_only() -> None:
    student, teacher, mask = hidden()
    real = mask.bool()
    expected = (student[real] - teacher[real]).pow(2).mean()
    found = losses.masked_mean_squared_error(student, teacher, mask)
    assert torch.allclose(found, expected)
    assert torch.allclose(gradient(3 * found, student), gradient(3 * expected, student))


def test_masked_error_ignores_even_what_is_not_finite() -> None:
    student, teacher, mask = hidden()
    expected = losses.masked_mean_squared_error(student, teacher, mask)
    broken = teacher.masked_fill(mask.unsqueeze(2) == 0, float("nan"))
    found = losses.masked_mean_squared_error(student, broken, mask)
    assert torch.equal(found, expected)
    assert bool(gradient(found, student).isfinite().all())


def test_masked_error_reaches_the_teachers_side_where_it_trains() -> None:
    student, teacher, mask = hidden()
    teacher.requires_grad_()
    found = losses.masked_mean_squared_error(student, teacher, mask)
    to_student, to_teacher = torch.autograd.grad(found, (student, teacher))
    assert torch.equal(to_student, -to_teacher)


def test_half_precision_is_subtracted_in_full() -> None:
    student, teacher, mask = hidden(torch.bfloat16)
    found = losses.masked_mean_squared_error(student, teacher, mask)
    expected = losses.masked_mean_squared_error(student.float(), teacher.float(), mask)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert gradient(found, student).dtype == torch.bfloat16


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        losses.masked_mean_squared_error(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), torch.ones(1, 2))
