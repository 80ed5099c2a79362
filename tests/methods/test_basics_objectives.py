"""Labels, logits and hidden states as objectives: values by hand, padding, projections, regression."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from autokd.contracts import Batch, Models, Outputs, Sizes, Wants
from autokd.core.errors import SpecError
from autokd.methods.basics import HiddenMSE, Labels, Logits, Mixup
from autokd.methods.basics.pairs import layer_pairs
from autokd.models.elastic import shape_of
from autokd.models.tiny import tiny_slot
from autokd.testing.context import tiny_context
from autokd.testing.tiny import tiny_regression, tiny_task


@pytest.fixture
def models() -> Models:
    return Models({"teacher": tiny_slot(1, depth=4), "student": tiny_slot(2, depth=2)})


def term(method, models: Models, root: Path, task=None):
    return method.build(models, tiny_context(root, task or tiny_task(), "basics:Distil"))


def batch(labels: torch.Tensor, length: int = 3) -> Batch:
    n = len(labels)
    ones = torch.ones(n, length, dtype=torch.long)
    return Batch(ones, ones, ones, labels, torch.arange(n))


def logits(*rows: list[float]) -> Outputs:
    return Outputs(torch.tensor(rows), torch.ones(len(rows), 3))


def test_labels_by_hand(models: Models, tmp_path: Path) -> None:
    loss = term(Labels(), models, tmp_path)
    assert loss.teacher_wants is None
    value = loss(logits([0.0, math.log(3.0)], [0.0, 0.0]), None, batch(torch.tensor([1, 0])), None)
    assert float(value) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    regression = loss(logits([2.0], [1.0]), None, batch(torch.tensor([0.0, 1.5])), None)
    assert float(regression) == pytest.approx((4.0 + 0.25) / 2)


def test_labels_follow_a_mixture(models: Models, tmp_path: Path) -> None:
    mixed = Mixup(alpha=0.4).transform(batch(torch.tensor([1, 0])), np.random.default_rng(3))
    targets = mixed.targets(2)
    assert targets.shape == (4, 2)
    student = logits([0.0, 1.0], [0.5, 0.0], [0.2, 0.1], [0.0, 0.7])
    value = term(Labels(), models, tmp_path)(student, None, mixed, None)
    expected = -(targets * torch.log_softmax(student.logits, 1)).sum(1).mean()
    torch.testing.assert_close(value, expected)


def test_logits_forms_by_hand(models: Models, tmp_path: Path) -> None:
    student, teacher = logits([1.0, 0.5, -0.5]), logits([2.0, 0.0, -1.0])
    p = torch.softmax(teacher.logits / 2, 1)
    q = torch.softmax(student.logits / 2, 1)
    forth, back = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()

    def value(**fields) -> float:
        return float(term(Logits(**fields), models, tmp_path)(student, teacher, batch(torch.tensor([0])), None))

    assert value(form="ce") == pytest.approx(3.897753, abs=1e-6)
    assert value(form="ce", tau_squared=False) == pytest.approx(3.897753 / 4, abs=1e-6)
    assert value(form="kl") == pytest.approx(4 * float(forth), abs=1e-6)
    assert value(form="symmetric_kl") == pytest.approx(2 * float(forth + back), abs=1e-6)
    assert value(form="mse") == pytest.approx((1 + 0.25 + 0.25) / 3)
    assert value(form="mse", temperature=9.0, tau_squared=False) == value(form="mse")


@pytest.mark.parametrize("form", ["kl", "symmetric_kl", "mse"])
def test_logits_agree_with_themselves(form: str, models: Models, tmp_path: Path) -> None:
    same = logits([0.3, -0.2], [1.0, 2.0])
    value = term(Logits(form=form), models, tmp_path)(same, same, batch(torch.tensor([0, 1])), None)
    assert float(value) == pytest.approx(0.0, abs=1e-7)


def test_one_logit_has_no_distribution(models: Models, tmp_path: Path) -> None:
    for form in ("kl", "ce", "symmetric_kl"):
        assert "regression" in Logits(form=form).facts.forbids
        with pytest.raises(SpecError, match="must be 'mse' for regression"):
            term(Logits(form=form), models, tmp_path, tiny_regression())
    assert "regression" not in Logits(form="mse").facts.forbids
    value = term(Logits(form="mse"), models, tmp_path, tiny_regression())(
        logits([1.0]), logits([3.0]), batch(torch.tensor([0.0])), None
    )
    assert float(value) == 4.0


@pytest.mark.parametrize(
    ("layers", "teacher", "student", "pairs"),
    [
        ("skip", 12, 4, [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]),
        ("last", 12, 4, [(8, 0), (9, 1), (10, 2), (11, 3), (12, 4)]),
        ("skip", 6, 4, [(0, 0), (1, 1), (3, 2), (4, 3), (6, 4)]),
        ("skip", 2, 3, [(0, 0), (1, 2), (2, 3)]),
        ("last", 2, 2, [(0, 0), (1, 1), (2, 2)]),
    ],
)
def test_layer_pairs(layers, teacher, student, pairs) -> None:
    assert list(layer_pairs(layers, teacher, student)) == pairs


def test_last_layers_of_a_shallower_teacher_are_refused() -> None:
    with pytest.raises(SpecError, match="but got 2 and 3"):
        layer_pairs("last", 2, 3)


def states(values: dict[int, torch.Tensor], mask: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(len(mask), 2), mask, values)


def test_hidden_states_by_hand(models: Models, tmp_path: Path) -> None:
    loss = term(HiddenMSE(), models, tmp_path)
    assert loss.student_wants == Wants(frozenset({0, 1, 2}))
    assert loss.teacher_wants == Wants(frozenset({0, 2, 4}))
    assert not list(loss.parameters())
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    zeros = torch.zeros(2, 3, 16)
    off = zeros.clone()
    off[0, 0, 0] = 6.0
    off[:, 2] = 1e9  # padding
    student = states({0: zeros, 1: zeros, 2: zeros}, mask)
    value = loss(student, states({0: zeros, 2: off, 4: off}, mask), batch(torch.tensor([0, 1])), None)
    assert float(value) == pytest.approx(2 * (36.0 / (3 * 16)) / 3)


def test_wider_teachers_are_met_by_a_projection_per_pair(tmp_path: Path) -> None:
    models = Models({"teacher": tiny_slot(1, depth=2, hidden=24), "student": tiny_slot(2, depth=2)})
    method = HiddenMSE(layers="last")
    loss = term(method, models, tmp_path)
    assert [tuple(p.shape) for p in loss.parameters()] == [(24, 16), (24,)] * 3
    drawn = torch.cat([p.detach().flatten() for p in loss.parameters() if p.dim() > 1])
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.1)
    mask = torch.ones(2, 3, dtype=torch.long)
    student = states({i: torch.ones(2, 3, 16) for i in range(3)}, mask)
    teacher = states({i: torch.ones(2, 3, 24) for i in range(3)}, mask)
    loss(student, teacher, batch(torch.tensor([0, 1])), None).backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in loss.parameters())
    sizes = Sizes(10, 7.0, shape_of(models["teacher"]), shape_of(models["student"]))
    assert method.cost(sizes) == 3 * 7 * 16 * 24
    assert method.cost(Sizes(10, 7.0, shape_of(models["student"]), shape_of(models["student"]))) == 0


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Labels, {"weight": -1}),
        (Logits, {"form": "kld"}),
        (Logits, {"temperature": 0}),
        (Logits, {"tau_squared": 2}),
        (HiddenMSE, {"layers": "first"}),
    ],
)
def test_fields_are_checked(cls, fields) -> None:
    with pytest.raises(SpecError, match=f"{cls.__name__}.{next(iter(fields))} must be"):
        cls(**fields)
