"""Students taken out of supernets, in every form: what is reloaded computes what the sub-network computed inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import autokd.auto  # noqa: F401 - most sub-networks have shapes that plain transformers does not know
from autokd.contracts import Rows, Slot
from autokd.core.task import Task
from autokd.deploy import gate
from autokd.deploy.onnx_export import export_onnx
from autokd.deploy.runtimes import open_runtime
from autokd.engine.batches import scoring_batches
from autokd.models.elastic import shape_of
from autokd.models.mixture import mixture_from
from autokd.models.subspaces import Architecture, Subspace
from autokd.models.supernet import extract, supernet_from, supernet_of
from autokd.models.tiny import tiny_slot
from tests.models.lively import lively

SPACE = Subspace((1, 3), (2, 3, 4), (8, 10, 16), (1.0, 2.0))
# Heads of width 4: two of them fill 8 channels, as in any BERT; three fill no 10.
PLAIN, OWN = Architecture(3, 2, 8, 16), Architecture(1, 3, 10, 10)


def supernets(words: Path) -> dict[str, Slot]:
    teacher = lively(tiny_slot(2, words, depth=3))
    shape = shape_of(teacher)
    mixed = mixture_from(teacher, shape, SPACE, 3, "neuron", 0.5, seed=1)
    generator = torch.Generator().manual_seed(5)
    routed = {
        name: torch.randn(value.shape, generator=generator) if ".last." in name else value
        for name, value in mixed.weights.items()
    }
    return {
        "plain": supernet_from(teacher, shape, SPACE),
        "mixture": Slot(mixed.builder, mixed.config, routed, "", mixed.tokenizer),
    }


@pytest.mark.parametrize("kind", ["plain", "mixture"])
@pytest.mark.parametrize(("architecture", "model_type"), [(PLAIN, "bert"), (OWN, "autokd")])
def test_every_form_equals_the_sub_network(
    kind: str, architecture: Architecture, model_type: str, tmp_path: Path, words: Path, task: Task, rows: Rows
) -> None:
    slot = supernets(words)[kind]
    admitted = gate.admit(extract(slot, architecture), tmp_path / "checkpoint", task, rows)
    assert admitted.params == architecture.shape(supernet_of(slot).shape).params()
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    assert config["model_type"] == model_type
    hub = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint")
    onnx = open_runtime("onnx", export_onnx(tmp_path / "checkpoint", tmp_path / "onnx"))
    member, inside = supernet_of(slot).member(architecture), np.empty_like(admitted.logits)
    for batch in scoring_batches(rows, 8):
        given = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.types}
        with torch.no_grad():
            inside[batch.rows] = expected = member(batch).logits.numpy()
            np.testing.assert_allclose(hub(**given).logits.numpy(), expected, atol=1e-5, rtol=1e-5)
        found = onnx.run({name: value.numpy() for name, value in given.items()})
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(admitted.logits, inside, atol=1e-5, rtol=1e-5)
    assert np.ptp(inside) > 0.1  # else anything would be equal
