"""One interface to every runtime, and clear words for folders that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from autokd.contracts import Rows
from autokd.core.errors import DataError, Paused, UsageError
from autokd.deploy import folders, gate
from autokd.deploy.folders import available_runtimes, kind_of, labels_of, limits_of, runtime_folder
from autokd.deploy.forms import add_int8, add_onnx
from autokd.deploy.runtimes import as_inputs, default_runtime, open_runtime
from autokd.engine.batches import collate


def test_torch_gives_the_gates_logits_and_bfloat16_nearly(checkpoint_of: Callable[..., Path], rows: Rows) -> None:
    checkpoint = checkpoint_of(depth=1, scale=3.0)
    wanted = gate.reloaded_logits(checkpoint, rows)
    full, half = open_runtime("torch", checkpoint), open_runtime("torch-bf16", checkpoint)
    np.testing.assert_allclose(full.logits(rows, batch_size=5), wanted, atol=1e-6)
    assert 0 < np.abs(half.logits(rows) - wanted).max() < 0.05
    assert half.logits(rows).dtype == np.float32
    assert (full.vocabulary, full.positions, full.token_types) == (limits_of(checkpoint).vocabulary, 64, 2)


def test_threads_are_those_of_the_runtime_while_it_runs(checkpoint_of: Callable[..., Path]) -> None:
    runtime = open_runtime("torch", checkpoint_of(depth=1), threads=2)
    seen = []
    runtime._model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    ids = np.ones((1, 3), dtype=np.int64)
    runtime.run({"input_ids": ids, "attention_mask": ids})
    assert (seen, torch.get_num_threads()) == ([2], 1)


def test_where_the_forms_of_a_checkpoint_lie() -> None:
    checkpoint = Path("trial/checkpoint")
    assert runtime_folder(checkpoint, "torch-bf16") == checkpoint
    assert runtime_folder(checkpoint, "onnx-int8") == Path("trial/onnx-int8")


def test_runtimes_that_are_not_installed_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folders, "_PACKAGES", ("no_such_package",))
    assert available_runtimes() == ("torch", "torch-bf16")
    (tmp_path / "config.json").write_text('{"vocab_size": 9}')
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"need no_such_package, not installed here; pip install 'autokd\[onnx\]'"):
        open_runtime("onnx", tmp_path)


def test_folders_that_are_no_models(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="there is none at"):
        kind_of(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"has a config.json, but .* has none"):
        kind_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"has model.onnx or model.safetensors, but .* has neither"):
        kind_of(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match="autokd convert"):
        kind_of(tmp_path)
    checkpoint = checkpoint_of(depth=1)
    assert default_runtime(checkpoint) == "torch"
    assert labels_of(checkpoint) == ("river", "stone")
    with pytest.raises(UsageError, match=r"unknown runtime 'onyx'. Did you mean 'onnx'\?"):
        open_runtime("onyx", checkpoint)
    with pytest.raises(DataError, match=r"the runtime onnx reads a folder of the form onnx, but .* is hf"):
        open_runtime("onnx", checkpoint)


def test_a_checkpoint_without_a_head_or_with_half_a_file_is_refused(checkpoint_of: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    checkpoint = checkpoint_of(depth=1)
    weights = checkpoint / "model.safetensors"
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if "classifier" not in k}, weights, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks .*classifier"):
        open_runtime("torch", checkpoint)
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be loaded"):
        open_runtime("torch", checkpoint)


def test_labels_must_be_told_in_order(checkpoint_of: Callable[..., Path]) -> None:
    checkpoint = checkpoint_of(depth=1, labels=1)
    assert labels_of(checkpoint) == ()
    told = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**told, "problem_type": None}))
    assert labels_of(checkpoint) == ()
    (checkpoint / "config.json").write_text("{}")
    assert labels_of(checkpoint) == ("LABEL_0", "LABEL_1")
    (checkpoint / "config.json").write_text(json.dumps({"id2label": {"0": "a", "2": "b"}}))
    with pytest.raises(DataError, match="numbers id2label from 0"):
        labels_of(checkpoint)


def test_int8_logits_of_a_row_do_not_depend_on_its_company(checkpoint_of: Callable[..., Path], rows: Rows) -> None:
    pytest.importorskip("onnxruntime")
    runtime = open_runtime("onnx-int8", add_int8(checkpoint_of(depth=1)).folder)
    together, alone = runtime.logits(rows, batch_size=16), runtime.logits(rows)
    assert np.abs(together - alone).max() > 0  # which is why records hold the latter
    some = torch.tensor([0, len(rows) - 1])
    for row in some.tolist():
        batch = collate(rows, torch.tensor([row]))
        np.testing.assert_array_equal(runtime.run(as_inputs(batch))[0], alone[row])


def test_padding_is_the_models_own(rows: Rows) -> None:
    batch = collate(rows, torch.arange(8))
    ids = as_inputs(batch, pad_id=3)["input_ids"]
    assert (ids[batch.mask.numpy() == 0] == 3).all()
    assert (ids[batch.mask.numpy() == 1] == batch.ids.numpy()[batch.mask.numpy() == 1]).all()
    assert (batch.mask == 0).any()


def test_models_that_give_several_labels_at_once_are_refused(checkpoint_of: Callable[..., Path]) -> None:
    folder = checkpoint_of(depth=1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    with pytest.raises(DataError, match="one label"):
        labels_of(folder)


@pytest.mark.parametrize("name", ["onnx", "onnx-int8", "torch"])
def test_several_callers_change_no_logit(checkpoint_of: Callable[..., Path], rows: Rows, name: str) -> None:
    pytest.importorskip("onnxruntime")
    checkpoint = checkpoint_of(depth=1)
    makers = {"onnx": add_onnx, "onnx-int8": lambda folder: add_int8(folder).folder, "torch": lambda folder: folder}
    runtime = open_runtime(name, makers[name](checkpoint))
    size = 3 if name == "onnx" else None
    alone, many = runtime.logits(rows, size), runtime.logits(rows, size, callers=3)
    np.testing.assert_allclose(many, alone, atol=1e-6 if name == "torch" else 0)


@pytest.mark.parametrize("callers", [1, 2])
def test_scoring_ends_between_batches_where_somebody_says_so(
    checkpoint_of: Callable[..., Path], rows: Rows, callers: int
) -> None:
    pytest.importorskip("onnxruntime")
    runtime = open_runtime("onnx", add_onnx(checkpoint_of(depth=1)))
    begun: list[int] = []

    def enough() -> None:
        begun.append(1)
        if len(begun) == 3:
            raise Paused

    with pytest.raises(Paused):
        runtime.logits(rows, 2, callers=callers, between=enough)
    assert len(begun) == 3
