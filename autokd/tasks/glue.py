"""GLUE's tasks, from a folder laid out as GLUE ships them or from the hub.

GLUE keeps its test labels to itself: its development split is our test, and validation is carved from train. Labels
keep the names of the shipped files (``0`` and ``1``, or words), so that a task is the same from both places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError
from autokd.core.task import Problem
from autokd.tasks.arrow_files import dataset_columns
from autokd.tasks.hub import load
from autokd.tasks.splits import Labelled, Source
from autokd.tasks.tables import Table, read_unquoted

HUB_ID = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """How one task is laid out: the folder and columns of the shipped files, the name and columns of the hub's.

    ``words`` says whether labels are words in the shipped files; then the hub's names are the same ones.
    """

    name: str
    folder: str
    text: tuple[str, ...]
    label: str
    metric: str
    hub_text: tuple[str, ...]
    words: bool = False
    problem: Problem = "classification"
    dev: str = "dev.tsv"
    hub_dev: str = "validation"
    header: tuple[str, ...] | None = None

    @property
    def hub_name(self) -> str:
        return self.name.replace("-", "")


_PAIR = ("sentence1", "sentence2")
_COLA = ("source", "label", "mark", "sentence")

GLUE = {
    task.name: task
    for task in (
        GlueTask("cola", "CoLA", ("sentence",), "label", "matthews", ("sentence",), header=_COLA),
        GlueTask("sst2", "SST-2", ("sentence",), "label", "accuracy", ("sentence",)),
        GlueTask("mrpc", "MRPC", ("#1 String", "#2 String"), "Quality", "f1", _PAIR),
        GlueTask("stsb", "STS-B", _PAIR, "score", "pearson_spearman", _PAIR, problem="regression"),
        GlueTask("rte", "RTE", _PAIR, "label", "accuracy", _PAIR, words=True),
        GlueTask("wnli", "WNLI", _PAIR, "label", "accuracy", _PAIR),
        GlueTask("qnli", "QNLI", ("question", "sentence"), "label", "accuracy", ("question", "sentence"), words=True),
        GlueTask("qqp", "QQP", ("question1", "question2"), "is_duplicate", "f1", ("question1", "question2")),
        GlueTask(
            name="mnli",
            folder="MNLI",
            text=_PAIR,
            label="gold_label",
            metric="accuracy",
            hub_text=("premise", "hypothesis"),
            words=True,
            dev="dev_matched.tsv",
            hub_dev="validation_matched",
        ),
    )
}


def find_glue(name: str) -> GlueTask | None:
    """The GLUE task of this name, however it is written (``SST-2``, ``sst2``), or None."""
    return GLUE.get(name.lower().replace("-", "").replace("_", ""))


def find_folder(task: GlueTask, roots: Sequence[Path]) -> Path | None:
    """The task's folder in one of ``roots`` (GLUE folders themselves, or folders with a ``glue`` inside), or None."""
    for root in roots:
        for parent in (root, root / "glue"):
            if (parent / task.folder).is_dir():
                return parent / task.folder
    return None


def from_folder(task: GlueTask, folder: Path) -> Source:
    """Read ``train.tsv`` and the development file. Raises DataError for a missing, empty or broken file."""
    splits = {}
    for split, file in (("train", "train.tsv"), ("test", task.dev)):
        if not (folder / file).is_file():
            there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise DataError(f"{task.name} needs train.tsv and {task.dev}, but {str(folder)!r} has {there}.")
        splits[split] = _labelled(task, read_unquoted(folder / file, task.header))
    return Source(task.name, splits, task.metric, task.problem, columns=task.text)


def _labelled(task: GlueTask, table: Table) -> Labelled:
    texts = [table.column(name) for name in task.text]
    return Labelled(texts[0], texts[1] if len(texts) == 2 else None, table.labels(task.label))


def from_hub(task: GlueTask) -> Source:
    """Read the task from the hub, or from the cache of what was read before. Raises as ``autokd.tasks.hub.load``."""
    loaded = load(HUB_ID, task.hub_name)
    missing = [split for split in ("train", task.hub_dev) if split not in loaded]
    if missing:
        raise DataError(f"{HUB_ID!r} has no split {' and '.join(missing)} of {task.name}, but {', '.join(loaded)}.")
    splits = {"train": _from_rows(task, loaded["train"]), "test": _from_rows(task, loaded[task.hub_dev])}
    return Source(task.name, splits, task.metric, task.problem, columns=task.hub_text)


def _from_rows(task: GlueTask, rows: Any) -> Labelled:
    cells, classes = dataset_columns(rows, (*task.hub_text, "label"))
    kept = classes if task.words else {}
    table = Table(HUB_ID, cells, range(1, len(rows) + 1), "row", kept)
    texts = [table.column(name) for name in task.hub_text]
    return Labelled(texts[0], texts[1] if len(texts) == 2 else None, table.labels("label"))
