"""MoEBERT's distillation loss and the balance of gates: identities, bounds, and that they train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Models, Outputs
from autokd.core.errors import SpecError
from autokd.core.shape import LayerShape
from autokd.core.task import Task
from autokd.engine.batches import scoring_batches
from autokd.methods.basics import AdamW, Distil, HiddenMSE, Labels, Logits
from autokd.methods.moebert import LayerTransfer, LoadBalance, ToExperts
from autokd.methods.moebert.balance import load_balance
from autokd.models.elastic import encoder_of
from autokd.models.slots import build
from autokd.models.tiny import tiny_slot
from autokd.testing.context import tiny_context
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_regression, tiny_task
from tests.methods.moebert_parts import BERT, TEACHER, converted, rows


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER,), tiny_task(), tmp_path_factory.mktemp("objectives"))


def term(method, models: Models, root: Path, task: Task | None = None):
    return method.build(models, tiny_context(root, task or tiny_task(), "basics:Distil"))


def seen(models: Models, name: str, made, root: Path) -> tuple[Outputs, object]:
    batch = next(scoring_batches(rows(models, root), 16))
    wants = made.student_wants if name == "student" else made.teacher_wants
    with torch.no_grad():
        return build(models[name])(batch, wants), batch


def loss(models: Models, method, root: Path, task: Task | None = None) -> float:
    made = term(method, models, root, task)
    student, batch = seen(models, "student", made, root)
    teacher, _ = seen(models, "teacher", made, root)
    return float(made(student, teacher, batch, None) * made.weight)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(models: Models, tmp_path: Path) -> None:
    equal = models.with_slots(student=models["teacher"])
    assert loss(equal, LayerTransfer(weight=5.0), tmp_path) == pytest.approx(0.0, abs=1e-10)
    experts = converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing="gate_sentence"))
    assert loss(experts, LayerTransfer(), tmp_path) > 0.01


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
def test_it_is_the_sum_over_all_layers_and_the_symmetric_divergence(numbers: bool, tmp_path: Path) -> None:
    labels, task = (1, tiny_regression()) if numbers else (3, tiny_task())
    task = task if numbers else replace(task, label_names=("a", "b", "c"))
    tiny_context(tmp_path, task, "x")  # makes the tokenizer
    teacher, student = (tiny_slot(seed, tmp_path / "tokenizer", depth=3, labels=labels) for seed in (1, 2))
    pair = Models({"teacher": teacher, "student": student})
    form = "mse" if numbers else "symmetric_kl"
    parts = (HiddenMSE(reduction="sum"), Logits(form=form, temperature=1.0))
    apart = sum(loss(pair, method, tmp_path, task) for method in parts)
    assert loss(pair, LayerTransfer(weight=3.0), tmp_path, task) == pytest.approx(3 * apart, rel=1e-6)
    if not numbers:
        turned = Models({"teacher": student, "student": teacher})
        assert loss(turned, LayerTransfer(), tmp_path, task) == pytest.approx(apart, rel=1e-5)


def test_bert_has_thirteen_hidden_terms(tmp_path: Path) -> None:
    slot = encoder_of(BERT, {}, "")
    made = term(LayerTransfer(), Models({"teacher": slot, "student": slot}), tmp_path)
    assert made.student_wants.hidden == made.teacher_wants.hidden == frozenset(range(13))
    small = encoder_of(BERT.with_layers(BERT.layers[:3]), {}, "")
    made = term(LayerTransfer(), Models({"teacher": slot, "student": small}), tmp_path)
    assert (made.student_wants.hidden, made.teacher_wants.hidden) == ({0, 1, 2, 3}, {0, 4, 8, 12})


def test_balance_by_hand() -> None:
    even = torch.eye(4).repeat(3, 1)
    assert float(load_balance(even)) == pytest.approx(1.0)
    assert float(load_balance(torch.eye(4)[torch.zeros(8).long()])) == pytest.approx(4.0)
    shares = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    assert float(load_balance(shares)) == pytest.approx(2 * (0.5 * 2 / 3 + 0.5 * 1 / 3))
    assert float(load_balance(shares.bfloat16())) == pytest.approx(1.0, abs=0.01)


def test_balance_sums_over_layers_and_skips_padding(models: Models, tmp_path: Path) -> None:
    made = term(
        LoadBalance(), converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing="gate_token")), tmp_path
    )
    everything, one = torch.tensor([0.9, 0.1]), torch.tensor([0.2, 0.8])
    tokens = torch.stack([torch.stack([everything, one, one]), torch.stack([everything, one, everything])])
    mask = torch.tensor([[1, 1, 0], [1, 1, 0]])
    rows_ = torch.stack([everything, everything])
    outputs = Outputs(torch.zeros(2, 2), mask, gates=(tokens, rows_))
    assert float(made(outputs, None, None, None)) == pytest.approx(1.0 + 2 * 0.9)


def test_balance_spreads_a_gate_that_sent_everything_to_one_expert(models: Models, tmp_path: Path) -> None:
    task = tiny_task()
    made = converted(models, tmp_path, ToExperts(experts=2, width=0.5, routing="gate_token"))
    first = term(LoadBalance(), made, tmp_path)
    weights = dict(made["student"].weights)
    batch = next(scoring_batches(rows(models, tmp_path), 64))
    for i in range(2):  # towards the mean of what the gates read
        read = []
        network = build(made["student"])
        network.layers[i].ffn.gate.register_forward_pre_hook(lambda module, inputs, read=read: read.append(inputs[0]))
        network(batch)
        towards = read[0][batch.mask.bool()].mean(0)
        weights[f"layers.{i}.ffn.gate.weight"] = torch.stack([towards, -towards]).detach()
    made = made.with_slots(student=replace(made["student"], weights=weights))

    def balance(after: Models) -> float:
        student, _ = seen(after, "student", first, tmp_path)
        return float(first(student, None, batch, None))

    def trained(name: str, *objectives) -> Models:
        stage = Distil(objectives=(Labels(), *objectives), epochs=4, batch_size=8, optimizer=AdamW(lr=1e-3))
        return stage.run(made, tiny_context(tmp_path, task, "basics:Distil", folder=name))

    batch = next(scoring_batches(rows(models, tmp_path), 16))
    assert balance(made) > 3.8  # of at most two experts times two layers
    assert balance(trained("balanced", LoadBalance(weight=1.0))) < 2.2
    assert balance(trained("free")) > 3.8


def test_balance_is_of_gates(models: Models, tmp_path: Path) -> None:
    hashed = converted(models, tmp_path, ToExperts(experts=2, width=0.5))
    with pytest.raises(SpecError, match="this one has no gates"):
        term(LoadBalance(), hashed, tmp_path)
    with pytest.raises(SpecError, match=r"LoadBalance\.weight must be a finite number of at least 0"):
        LoadBalance(weight=-1)
    with pytest.raises(SpecError, match=r"LayerTransfer\.weight must be a finite number of at least 0"):
        LayerTransfer(weight=-1)
    assert LayerShape(1, 1, 1).gate == ""
