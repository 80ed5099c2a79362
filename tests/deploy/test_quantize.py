"""int8: smaller files, nearly the same logits, static only where it is measured to win."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autokd.contracts import Rows
from autokd.core.errors import DataError
from autokd.core.shape import LayerShape
from autokd.deploy import quantize as quantizing
from autokd.deploy.compare import sample_batches, worst_difference
from autokd.deploy.folders import exported_as, folder_bytes, kind_of
from autokd.deploy.int8_graph import by_row, fold_transposes
from autokd.deploy.latency import Timing
from autokd.deploy.onnx_export import export_onnx
from autokd.deploy.quantize import quantize
from autokd.deploy.runtimes import open_runtime
from autokd.measure.metrics import METRICS

pytest.importorskip("onnxruntime")
_FLOAT = 1  # ONNX calls float32 by this number
WIDE = {"hidden": 64, "heads": 4, "head_width": 16, "ffn": 128, "scale": 3.0}


def test_dynamic_int8_is_smaller_and_nearly_the_same(
    tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows
) -> None:
    onnx = export_onnx(checkpoint_of(vocabulary=4000, **WIDE), tmp_path / "onnx")
    made = quantize(onnx, tmp_path / "int8")
    assert (made.method, kind_of(made.folder)) == ("dynamic", "onnx-int8")
    assert exported_as(made.folder)["source"] == exported_as(onnx)["source"]
    assert made.size_bytes == folder_bytes(made.folder)
    assert (made.folder / "model.onnx").stat().st_size < 0.35 * (onnx / "model.onnx").stat().st_size
    wanted = open_runtime("onnx", onnx).logits(rows)
    found = open_runtime("onnx-int8", made.folder).logits(rows)
    assert 0 < np.abs(found - wanted).max() < 0.2 * wanted.std()


def test_products_are_really_in_bytes(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    import onnx as library

    made = quantize(export_onnx(checkpoint_of(depth=2, **WIDE), tmp_path / "onnx"), tmp_path / "int8")
    kinds = [node.op_type for node in library.load(made.folder / "model.onnx").graph.node]
    # per layer: queries, keys and values (the last layer: queries apart), output, up, down; and the pooler
    assert kinds.count("MatMulInteger") == 4 + 5 + 1


def test_static_is_taken_where_it_is_faster_and_as_good(
    tmp_path: Path, checkpoint_of: Callable[..., Path], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = export_onnx(checkpoint_of(depth=1, **WIDE), tmp_path / "onnx")

    def timed(static_ms: float) -> None:
        times = {"static": Timing(static_ms, 1, 6), "dynamic": Timing(1.0, 1, 6)}
        monkeypatch.setattr(quantizing, "measure", lambda *_, **__: times)

    timed(0.5)
    monkeypatch.setattr(quantizing, "_LOST", 1.0)
    made = quantize(onnx, tmp_path / "fast", rows, METRICS["accuracy"], calibration=rows)
    assert (made.method, exported_as(made.folder)["quantization"]) == ("static", "static")
    wanted = open_runtime("onnx", onnx).logits(rows)
    assert np.abs(open_runtime("onnx-int8", made.folder).logits(rows) - wanted).max() < 0.3 * wanted.std()
    timed(0.97)
    made = quantize(onnx, tmp_path / "slow", rows, METRICS["accuracy"], calibration=rows)
    assert (made.method, exported_as(made.folder)["quantization"]) == ("dynamic", "dynamic")
    timed(0.5)
    monkeypatch.setattr(quantizing, "_LOST", -2.0)  # as if static's score were lower
    assert quantize(onnx, tmp_path / "worse", rows, METRICS["accuracy"], calibration=rows).method == "dynamic"


def test_a_table_by_rows_is_near_the_float_one_in_every_row() -> None:
    table = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32) * np.logspace(-3, 3, 50)[:, None]
    table = table.astype(np.float32)
    table[7] = 0
    rows, scales = by_row(table)
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert rows.dtype == np.int8
    assert scales.shape == (50, 1)
    assert (np.abs(rows * scales - table) <= largest / 253).all()


def test_weights_transposed_in_each_call_become_constants() -> None:
    from onnx import TensorProto, checker, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [
        helper.make_node("Transpose", ["w"], ["first"], perm=[1, 0]),
        helper.make_node("Transpose", ["w"], ["second"]),
        helper.make_node("MatMul", ["x", "first"], ["y"]),
        helper.make_node("MatMul", ["x", "second"], ["z"]),
    ]
    sizes = {"x": [4, 3], "y": [4, 2], "z": [4, 2]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()}
    graph = helper.make_graph(
        nodes, "g", [values["x"]], [values["y"], values["z"]], [numpy_helper.from_array(weight, "w")]
    )
    model = helper.make_model(graph)
    fold_transposes(model)
    checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "MatMul"]
    assert {value.name for value in model.graph.initializer} == {"first", "second"}
    given = np.ones((4, 3), dtype=np.float32)
    for found in ReferenceEvaluator(model).run(None, {"x": given}):
        np.testing.assert_array_equal(found, given @ weight.T)


def test_experts_are_in_bytes_and_their_gates_are_not(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    import onnx as library

    narrow = LayerShape(4, 16, 64, 3)
    layers = (
        replace(narrow, ffn_use="moebert:HashExperts"),
        replace(narrow, ffn_use="moebert:TokenGatedExperts", gate="token"),
        replace(narrow, ffn_use="moebert:SentenceGatedExperts", gate="row"),
    )
    onnx = export_onnx(checkpoint_of(hidden=64, scale=3.0, layers=layers), tmp_path / "onnx")
    made = quantize(onnx, tmp_path / "int8")
    graph = library.load(made.folder / "model.onnx").graph
    sizes = {v.name: min(v.dims) for v in graph.initializer if len(v.dims) == 2 and v.data_type == _FLOAT}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert sorted(sizes[node.input[1]] for node in products if node.input[1] in sizes) == [2, 3, 3]  # gates, classifier
    # per layer: queries, keys and values, output, and two products of each expert; and the pooler
    assert [node.op_type for node in graph.node].count("MatMulInteger") == 3 * (2 + 2 * 3) + 1
    whole, bytes_ = open_runtime("onnx", onnx), open_runtime("onnx-int8", made.folder)
    spread = np.concatenate([whole.run(batch).ravel() for batch in sample_batches(whole)]).std()
    assert (
        worst_difference(bytes_, whole, sample_batches(whole)) < 0.5 * spread
    )  # a text of one token too: two have none


def test_only_a_float_onnx_folder_is_quantized(tmp_path: Path, checkpoint_of: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="is of another form"):
        quantize(checkpoint_of(depth=1), tmp_path / "int8")
    assert not (tmp_path / "int8").exists()
