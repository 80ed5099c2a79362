"""One ONNX file per folder that gives torch's logits, whatever the shape of the network and of the batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, DebertaV2Config, DebertaV2ForSequenceClassification

from autokd.core.errors import DataError, TrainingError, UsageError
from autokd.core.shape import LayerShape
from autokd.deploy import onnx_export
from autokd.deploy.compare import worst_difference
from autokd.deploy.folders import kind_of, labels_of
from autokd.deploy.onnx_export import export_onnx
from autokd.deploy.runtimes import open_runtime

pytest.importorskip("onnxruntime")

UNEVEN = (LayerShape(3, 4, 8), LayerShape(0, 4, 0), LayerShape(2, 4, 16))
HASHED = (LayerShape(4, 4, 8, 3, "moebert:HashExperts"),) * 2
GATED = (
    LayerShape(4, 4, 8, 3, "moebert:TokenGatedExperts", gate="token"),
    LayerShape(4, 4, 8, 3, "moebert:SentenceGatedExperts", gate="row"),
)


def batches() -> list[dict[str, np.ndarray]]:
    """One token; one row; many rows with much padding; the longest that the model reads."""
    found = []
    for lengths in ((1,), (11,), (7, 1, 20, 3, 3), (64, 2)):
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        ids = np.random.default_rng(len(lengths)).integers(5, 90, mask.shape) * mask
        types = (np.arange(max(lengths)) >= np.array(lengths)[:, None] // 2).astype(np.int64) * mask
        found.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": UNEVEN, "embedding": 8, "labels": 3},
        {"layers": HASHED},
        {"layers": GATED},
        pytest.param({"layers": GATED[::-1]}, marks=pytest.mark.slow),
        pytest.param({"depth": 2}, marks=pytest.mark.slow),
        pytest.param({"layers": (LayerShape(0, 4, 8), LayerShape(0, 4, 0)), "labels": 1}, marks=pytest.mark.slow),
        pytest.param({"family": "electra", "embedding": 8, "depth": 1}, marks=pytest.mark.slow),
        pytest.param({"family": "roberta", "pad_id": 1, "depth": 1}, marks=pytest.mark.slow),
        pytest.param({"family": "distilbert", "token_types": 0, "depth": 1}, marks=pytest.mark.slow),
    ],
    ids=[
        "uneven",
        "hashed",
        "gated",
        "gated by tokens at last",
        "plain",
        "headless",
        "electra",
        "roberta",
        "distilbert",
    ],
)
def test_logits_equal_those_of_torch_on_all_sizes(
    changes: dict[str, Any], tmp_path: Path, checkpoint_of: Callable[..., Path]
) -> None:
    checkpoint = checkpoint_of(**changes)
    folder = export_onnx(checkpoint, tmp_path / "onnx")
    made, expected = open_runtime("onnx", folder), open_runtime("torch", checkpoint)
    assert made.names == ("input_ids", "attention_mask", "token_type_ids")
    spread = np.ptp(np.concatenate([expected.run(batch).ravel() for batch in batches()]))
    assert spread > 0.1  # else anything would be equal
    assert worst_difference(made, expected, batches()) <= 1e-4


def test_a_folder_holds_one_graph_and_what_its_users_need(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    import onnx

    folder = export_onnx(checkpoint_of(layers=UNEVEN), tmp_path / "onnx")
    assert [path.name for path in folder.glob("*.onnx*")] == ["model.onnx"]
    graph = onnx.load(folder / "model.onnx").graph
    assert graph.output[0].name == "logits"
    assert {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.INT64}
    assert all(size.dim_param for value in graph.input for size in value.type.tensor_type.shape.dim)
    assert kind_of(folder) == "onnx"
    assert labels_of(folder) == ("river", "stone")
    words = AutoTokenizer.from_pretrained(folder)
    assert set(words("a river")) == {value.name for value in graph.input}


@pytest.mark.slow
def test_any_other_classifier_is_exported_as_transformers_computes_it(tmp_path: Path, words: Path) -> None:
    config = DebertaV2Config(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        num_labels=2,
        id2label={0: "a", 1: "b"},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DebertaV2ForSequenceClassification(config).save_pretrained(tmp_path / "checkpoint")
    for path in words.iterdir():
        (tmp_path / "checkpoint" / path.name).write_bytes(path.read_bytes())
    folder = export_onnx(tmp_path / "checkpoint", tmp_path / "onnx")
    made, expected = open_runtime("onnx", folder), open_runtime("torch", tmp_path / "checkpoint")
    assert worst_difference(made, expected, batches()) <= 1e-4


def test_a_graph_that_differs_is_refused_and_not_left_behind(
    tmp_path: Path, checkpoint_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = onnx_export._network

    def wrong(checkpoint: Path, trust_remote_code: bool) -> torch.nn.Module:
        network = true(checkpoint, trust_remote_code)
        network.classifier.bias.data += 0.01
        return network

    monkeypatch.setattr(onnx_export, "_network", wrong)
    with pytest.raises(TrainingError, match=r"but they differ by 0\.0"):
        export_onnx(checkpoint_of(depth=1), tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".onnx", "onnx"))] == []


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, checkpoint_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="there is none at"):
        export_onnx(tmp_path / "nowhere", tmp_path / "onnx")
    checkpoint = checkpoint_of(depth=1)
    monkeypatch.setattr(onnx_export, "onnx_missing", lambda: "the ONNX forms need onnx")
    with pytest.raises(UsageError, match="the ONNX forms need onnx"):
        export_onnx(checkpoint, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


@pytest.mark.slow
def test_a_process_without_torch_and_autokd_runs_the_folder(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    checkpoint = checkpoint_of(layers=UNEVEN)
    folder = export_onnx(checkpoint, tmp_path / "onnx")
    program = (
        "import sys; sys.modules['autokd'] = sys.modules['torch'] = None\n"
        "import json, onnxruntime\n"
        "from transformers import AutoTokenizer\n"
        "words = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "inputs = words(['the old river', 'stone'], padding=True, return_tensors='np')\n"
        "session = onnxruntime.InferenceSession(sys.argv[1] + '/model.onnx')\n"
        "print(json.dumps(session.run(['logits'], dict(inputs))[0].tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    inputs = AutoTokenizer.from_pretrained(checkpoint)(["the old river", "stone"], padding=True, return_tensors="np")
    wanted = open_runtime("torch", checkpoint).run(dict(inputs))
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), wanted, atol=1e-4)
