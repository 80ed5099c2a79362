"""Preparing an ONNX graph for int8: large tables by rows, and which products are worth the rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

_LARGE_TABLE = 1000  # rows from which on a table of vectors is worth storing in bytes
_NARROW = 32  # products with fewer outputs stay float: the classifier, where rounding costs most and saves nothing


def shrink_tables(model: Any) -> None:
    """Store each large table of vectors (word embeddings) in int8 with one scale per row, in place.

    A row is restored when it is looked up: ``int8 row * scale``, at most 1/254 of the row's largest entry away.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    constants = {value.name: value for value in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for name, value in constants.items():
        looked_up = all(node.op_type == "Gather" and node.input[0] == name for node in users.get(name, ()))
        large = len(value.dims) == 2 and value.dims[0] >= _LARGE_TABLE and value.data_type == TensorProto.FLOAT
        if not (looked_up and large and name in users):
            continue
        rows, scales = by_row(numpy_helper.to_array(value))
        graph.initializer.remove(value)
        graph.initializer.extend(
            [numpy_helper.from_array(rows, f"{name}.int8"), numpy_helper.from_array(scales, f"{name}.scale")]
        )
        for node in users[name]:
            place = list(graph.node).index(node)
            ids, out = node.input[1], node.output[0]
            made = [
                helper.make_node("Gather", [f"{name}.int8", ids], [f"{out}.int8"], axis=0),
                helper.make_node("Cast", [f"{out}.int8"], [f"{out}.cast"], to=TensorProto.FLOAT),
                helper.make_node("Gather", [f"{name}.scale", ids], [f"{out}.scale"], axis=0),
                helper.make_node("Mul", [f"{out}.cast", f"{out}.scale"], [out]),
            ]
            graph.node.remove(node)
            for step, new in enumerate(made):
                graph.node.insert(place + step, new)


def fold_transposes(model: Any) -> None:
    """Replace weights that are transposed in each call by transposed weights, in place: only those are constants."""
    from onnx import numpy_helper

    graph = model.graph
    constants = {value.name: value for value in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] in constants and len(constants[node.input[0]].dims) == 2:
            table = numpy_helper.to_array(constants[node.input[0]])
            turned = np.ascontiguousarray(np.transpose(table, next((list(a.ints) for a in node.attribute), None)))
            graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
            graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for value in constants.values():
        if value.name not in read:
            graph.initializer.remove(value)


def by_row(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(int8 [rows, width], float32 scales [rows, 1]) of a float table [rows, width]; rows of zeros stay zeros."""
    largest = np.abs(table).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(table / scales).astype(np.int8), scales


def narrow_products(model: Any) -> list[str]:
    """Names of the product nodes that stay float: those with few outputs."""
    shapes = {value.name: value.dims for value in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in shapes and min(shapes[node.input[1]]) < _NARROW:
            # what a dynamic quantizer calls the product that it makes of a Gemm before it looks at names
            found += [node.name, f"{node.name}_MatMul"] if node.op_type == "Gemm" else [node.name]
    return found
