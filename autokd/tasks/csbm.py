"""The contextual stochastic block model: graphs whose edges and features both tell the classes, as much as wanted.

Two classes ``v = +-1`` of equal size. Nodes are joined with probability ``(d + lambda sqrt(d)) / n`` within a class and
``(d - lambda sqrt(d)) / n`` across, so that the average degree is d; features are
``b_i = sqrt(mu / n) v_i u + sigma_i z_i / sqrt(p)`` in p dimensions, with ``z_i`` standard normal and ``u`` of variance
``1 / p`` in each (arXiv:1807.09596; with sigma 1 the classes can be told where ``lambda^2 + mu^2 p / n > 1``). Sigma
depends on the class, as in the data of arXiv:2103.01089.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from autokd.core.errors import UsageError, unknown
from autokd.core.seeds import Seeds
from autokd.core.task import Task
from autokd.tasks.graphs import canonical_graph, graph_task

NAME = "csbm"
_MOST_NODES = 20_000  # all pairs of nodes are drawn


@dataclass(frozen=True)
class BlockModel:
    """``n`` nodes of average degree ``degree`` with ``features`` features; ``edge_signal`` is lambda,
    ``feature_signal`` mu; ``noise_0`` and ``noise_1`` are sigma of the two classes. ``seed`` draws everything."""

    n: int = 1000
    degree: float = 10.0
    features: int = 200
    edge_signal: float = 1.0
    feature_signal: float = 1.0
    noise_0: float = 1.0
    noise_1: float = 2.0
    seed: int = 0


def parse(name: str) -> BlockModel:
    """Read ``csbm`` or ``csbm:n=500,degree=8,seed=3``. Raises UsageError for an unknown or impossible value."""
    known = {field.name: field.type for field in fields(BlockModel)}
    values: dict[str, float] = {}
    for part in filter(None, name.removeprefix(NAME).removeprefix(":").split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in known:
            raise UsageError(unknown(f"option of {NAME}", key, known))
        try:
            values[key] = int(value) if known[key] == "int" else float(value)
        except ValueError as error:
            raise UsageError(f"{NAME}'s {key} is a number, but got {value!r}.") from error
    model = BlockModel(**values)  # type: ignore[arg-type]
    rules = {
        f"n lies from 40 to {_MOST_NODES}": 40 <= model.n <= _MOST_NODES,
        "degree lies above 0 and below n / 2": 0 < model.degree < model.n / 2,
        "edge_signal lies within sqrt(degree) of 0": abs(model.edge_signal) <= model.degree**0.5,
        "features lies from 1 to 10000": 1 <= model.features <= 10_000,
        "signals and noises are finite and not negative": all(
            0 <= value < float("inf") for value in (model.feature_signal, model.noise_0, model.noise_1)
        ),
    }
    for rule, holds in rules.items():
        if not holds:
            raise UsageError(f"the rule for {NAME} is that {rule}, but got {name!r}.")
    return model


def make_csbm(model: BlockModel, name: str = NAME, metric: str | None = None) -> Task:
    """The model's graph as a task: 30 % of the nodes train, 20 % validate and 50 % test, drawn in each class."""
    draw = Seeds(model.seed, "tasks:csbm").numpy("graph")
    classes = np.arange(model.n) % 2
    edges = _edges(model, classes, draw)
    signs = 2.0 * classes - 1.0
    direction = draw.standard_normal(model.features) / np.sqrt(model.features)
    noise = np.where(classes == 0, model.noise_0, model.noise_1)[:, None] * draw.standard_normal(
        (model.n, model.features)
    )
    features = np.sqrt(model.feature_signal / model.n) * np.outer(signs, direction) + noise / np.sqrt(model.features)
    columns = np.tile(np.arange(model.features), model.n)
    offsets = np.arange(model.n + 1) * model.features
    graph = canonical_graph(features.reshape(-1), columns, offsets, model.features, edges)
    order = draw.permutation(model.n // 2)
    halves = [np.sort(np.concatenate([2 * part, 2 * part + 1])) for part in np.split(order, _cuts(model.n // 2))]
    splits = dict(zip(("train", "valid", "test"), halves, strict=True))
    return graph_task(name, graph, classes.astype(np.int64), splits, metric)


def _cuts(n: int) -> list[int]:
    return [round(0.3 * n), round(0.5 * n)]


def _edges(model: BlockModel, classes: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Each pair of nodes once, with the probability of its classes; row by row, so that memory stays small."""
    within = (model.degree + model.edge_signal * model.degree**0.5) / model.n
    across = (model.degree - model.edge_signal * model.degree**0.5) / model.n
    found = []
    for node in range(model.n - 1):
        others = np.arange(node + 1, model.n)
        chance = np.where(classes[others] == classes[node], within, across)
        joined = others[draw.random(len(others)) < chance]
        found.append(np.stack([np.full(len(joined), node), joined]))
    return np.concatenate(found, axis=1)
