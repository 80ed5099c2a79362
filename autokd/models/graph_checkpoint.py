"""Graph networks on disk: ``model.safetensors`` and ``config.json`` with shape and labels; the graph stays outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from autokd.contracts import Slot
from autokd.core.errors import DataError
from autokd.core.provenance import KEY, Provenance
from autokd.core.shape import GraphShape
from autokd.core.task import Problem
from autokd.models.export import save_pretrained
from autokd.models.folders import atomic_folder
from autokd.models.graph import GraphNetwork
from autokd.models.slots import GRAPH
from autokd.models.weights import read_weights, write_weights

GRAPH_TYPE = "autokd-graph"


def save_checkpoint(
    slot: Slot,
    folder: Path,
    label_names: Sequence[str],
    problem: Problem,
    max_length: int | None = None,
    trained_from: Provenance | None = None,
) -> None:
    """Write a network as a checkpoint's folder, whole or not at all: a graph network here, any other as
    ``save_pretrained``."""
    if slot.builder != GRAPH:
        save_pretrained(slot, folder, label_names, problem, max_length, trained_from)
        return
    config = {
        "model_type": GRAPH_TYPE,
        "shape": slot.config,
        "id2label": {str(i): name for i, name in enumerate(label_names)},
        "problem_type": "single_label_classification",
        **({} if trained_from is None else {KEY: trained_from.to_json()}),
    }
    with atomic_folder(folder) as work:
        write_weights(slot.weights, work / "model.safetensors")
        (work / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")


def load_graph_network(folder: Path) -> GraphNetwork:
    """The network of a checkpoint, in evaluation mode. Raises DataError where its files do not fit each other."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        network = GraphNetwork(GraphShape.from_json(config["shape"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"a graph checkpoint's config.json tells its shape, but that in {str(folder)!r}: {error!r}"
        ) from error
    try:
        network.load_state_dict(read_weights(folder / "model.safetensors"))
    except RuntimeError as error:
        raise DataError(f"a checkpoint's weights are those of its shape, but not in {str(folder)!r}.") from error
    return network.eval()
