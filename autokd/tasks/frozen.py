"""A task written down as a study found it, so that a resumed study goes on with exactly the same rows."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError
from autokd.core.graph import Graph, NodeSplit, node_split
from autokd.core.task import Problem, Split, Task, without_labels
from autokd.tasks.graph_json import graph_from, graph_json, nodes_from, nodes_json

FILE = "task.json.gz"
SCHEMA = 1
_SPLITS = ("train", "valid", "test")
_SMALL_BYTES, _MOST_RATIO = 64 * 2**20, 50  # texts are compressed to a tenth or so
_LEVEL = 3  # of compression: half a million rows are written within a few seconds


def freeze(task: Task, folder: Path) -> None:
    """Write ``task`` into ``folder`` (made where missing): one file, in place at once or not at all.

    The same task always gives the same bytes.
    """
    value = {
        "schema": SCHEMA,
        "content": task.content,
        "name": task.name,
        "label_names": task.label_names,
        "problem": task.problem,
        "metric": task.metric,
        "notes": task.notes,
        "seed": task.seed,
        **{name: _split_json(getattr(task, name)) for name in _SPLITS},
    }
    if task.unlabelled is not None:
        value["unlabelled"] = {name: part for name, part in _split_json(task.unlabelled).items() if name != "labels"}
    if isinstance(task.train, NodeSplit):
        value["graph"] = graph_json(task.train.graph)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(text.encode(), _LEVEL, mtime=0))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, folder / FILE)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def _text(path: Path) -> bytes:
    """What was compressed; no more of it than text can hold, since the file may come from elsewhere."""
    most = max(_SMALL_BYTES, _MOST_RATIO * path.stat().st_size)
    with gzip.open(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most} bytes")
    return found


def thaw(folder: Path) -> Task:
    """The task that ``freeze`` wrote into ``folder``. Raises DataError where it is missing, broken or changed."""
    path = folder / FILE
    try:
        value = json.loads(_text(path))
    except FileNotFoundError as error:
        raise DataError(f"a study's task must be there, but there is none at {str(path)!r}.") from error
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"a study's task must be readable, but {str(path)!r} is not: {error}.") from error
    if value.get("schema") != SCHEMA:
        raise DataError(f"{str(path)!r} has schema {value.get('schema')!r}; this version reads {SCHEMA}.")
    try:
        task = _task(value)
    except (KeyError, ValueError) as error:
        raise DataError(f"a study's task must be readable, but {str(path)!r} is not: {error!r}.") from error
    if task.content != value["content"]:
        found = f"{str(path)!r} gives {task.content}, it was written as {value['content']}"
        raise DataError(f"a study's task must not change, but {found}.")
    return task


def _split_json(split: Split) -> dict[str, Any]:
    if isinstance(split, NodeSplit):
        return nodes_json(split)
    return {"text_a": split.text_a, "text_b": split.text_b, "labels": split.labels}


def _task(value: Mapping[str, Any]) -> Task:
    graph = graph_from(value["graph"]) if "graph" in value else None

    def split(part: Mapping[str, Any]) -> Split:
        if graph is not None:
            return nodes_from(part, graph)
        return Split(*_texts(part), tuple(part["labels"]))

    further = value.get("unlabelled")
    return Task(
        name=value["name"],
        train=split(value["train"]),
        valid=split(value["valid"]),
        test=split(value["test"]),
        label_names=tuple(value["label_names"]),
        problem=value["problem"],
        metric=value["metric"],
        notes=tuple(value["notes"]),
        seed=value.get("seed"),
        unlabelled=None if further is None else _unlabelled(further, value["problem"], graph),
    )


def _unlabelled(part: Mapping[str, Any], problem: Problem, graph: Graph | None) -> Split:
    if graph is not None:
        return node_split(graph, part["nodes"])
    return without_labels(*_texts(part), problem)


def _texts(part: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    return tuple(part["text_a"]), None if part["text_b"] is None else tuple(part["text_b"])
