"""What the tests of StarK share: a distilled trial student, and the scores as another pair of hands computes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, softmax

from autokd.contracts import Models, Slot
from autokd.core.task import Task
from autokd.engine.batches import scoring_batches
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher, Labels, Logits, TruncateLayers
from autokd.methods.stark import SparsifyTeacher
from autokd.models.slots import build, content_of
from autokd.testing.context import tiny_context

# Of the paper's own objectives: (T^2 CE + the task's loss) / 2.
TRIAL = Distil(
    objectives=(Logits(form="ce", weight=0.5), Labels(weight=0.5)), epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3)
)
REGRESSION_TRIAL = replace(TRIAL, objectives=(Logits(form="mse", weight=0.5), Labels(weight=0.5)))
STUDENT = (FineTuneTeacher(epochs=2, batch_size=8, optimizer=AdamW(lr=3e-3)), TruncateLayers(keep=1))
STAGE = "stark:SparsifyTeacher"


def sparsified(models: Models, root: Path, task: Task, **fields: object) -> Models:
    """The models after the stage, in a folder of its own under ``root``."""
    name = "-".join(f"{key}={value}" for key, value in fields.items())
    return SparsifyTeacher(**{"batch_size": 8, **fields}).run(models, tiny_context(root, task, STAGE, folder=name))


def changed(slot: Slot, **weights: Tensor) -> Slot:
    """The slot with some weights replaced; ``__`` stands for a dot in their names."""
    made = {**slot.weights, **{name.replace("__", "."): value for name, value in weights.items()}}
    return Slot(slot.builder, slot.config, made, content_of(slot.builder, slot.config, made), slot.tokenizer)


def lively(models: Models) -> Models:
    """With networks whose weights are so large that the 1e-7 beside their scores' norms does not show."""

    def large(slot: Slot) -> Slot:
        matrices = {name for name, value in slot.weights.items() if value.dim() > 1 and "embeddings" not in name}
        return changed(slot, **{name.replace(".", "__"): 10 * slot.weights[name] for name in matrices})

    return models.with_slots(dense_teacher=large(models["dense_teacher"]), student=large(models["student"]))


def by_activations(models: Models, task: Task, root: Path, temperature: float, batch_size: int) -> dict[str, Tensor]:
    """``sum over batches of |<a, dL/da>|`` of every head's context and every neuron's activation a, without masks.

    Keys: ``task`` or ``kd``, ``heads`` or ``neurons``, and the layer, as in ``task heads 0``.
    """
    teacher, student = build(models["dense_teacher"]), build(models["student"])
    seen: dict[str, Tensor] = {}

    def watch(name: str):
        def keep(module, inputs):
            seen[name] = inputs[0]

        return keep

    for i, layer in enumerate(teacher.layers):
        layer.attention.output.register_forward_pre_hook(watch(f"heads {i}"))
        layer.ffn.down.register_forward_pre_hook(watch(f"neurons {i}"))
    sums: dict[str, Tensor] = {}
    for batch in scoring_batches(tiny_context(root, task, STAGE).rows("train", models["dense_teacher"]), batch_size):
        logits, taught = teacher(batch).logits, student(batch).logits.detach()
        for kind, loss in loss_values(logits, taught, batch.labels, temperature).items():
            gradients = torch.autograd.grad(loss, list(seen.values()), retain_graph=True)
            for (name, active), gradient in zip(seen.items(), gradients, strict=True):
                product = (active * gradient).detach().sum((0, 1))
                if name.startswith("heads"):
                    product = product.view(4, -1).sum(1)
                sums[f"{kind} {name}"] = sums.get(f"{kind} {name}", 0) + product.abs()
    return sums


def loss_values(logits: Tensor, taught: Tensor, labels: Tensor, temperature: float) -> dict[str, Tensor]:
    """The task's loss of the teacher and the trial distillation loss, written out anew."""
    if logits.shape[1] == 1:
        return {"task": mse_loss(logits.squeeze(1), labels), "kd": mse_loss(logits, taught)}
    soft = softmax(logits / temperature, 1) * log_softmax(taught / temperature, 1)
    return {"task": cross_entropy(logits, labels), "kd": -(temperature**2) * soft.sum(1).mean()}
