"""A trial's checkpoint in the form that its pipeline ships, and in the others: made, scored, opened for timing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autokd.contracts import Rows
from autokd.core.graph import graph_of
from autokd.core.latency import LatencySpec
from autokd.core.paths import located
from autokd.deploy.forms import add_int8, add_onnx, available_runtimes, folder_bytes, runtime_folder
from autokd.deploy.gate import reloaded_logits, save_predictions
from autokd.deploy.graph_runtime import GraphRuntime
from autokd.deploy.runtimes import Between, Runtime, nothing, open_runtime
from autokd.engine.nodes import node_graph
from autokd.measure.metrics import find_metric
from autokd.runner.tokenizers import tokenizer_folder
from autokd.runner.workspace import Workspace

TRAINED = "trained.json"  # in the folder of a trial that has trained
JOB_FILES = ("checkpoint", "predictions")  # what paths in a job's own files name


@dataclass(frozen=True)
class Forms:
    """The forms of the checkpoint in ``folder``, which is a trial's. ``tokenizer`` is a folder, shared by many trials
    where that can be, whose tokens of each split are kept in memory. ``callers`` batches are scored at once, and
    ``between`` is called between them: it raises to end the work.
    """

    folder: Path
    workspace: Workspace
    tokenizer: str
    callers: int = 1
    between: Between = nothing

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    def told(self) -> dict[str, Any]:
        """What the trial measured when it had trained: ``values, predictions, tokenizer, shape, curve``."""
        found = read_trained(self.folder)
        assert found is not None
        return found

    def rows(self, split: str) -> Rows:
        """The tokens of a split."""
        return self.workspace.tokenised(getattr(self.workspace.task, split), self.tokenizer)

    def make(self, runtime: str) -> Path:
        """The folder that a runtime reads; made where it is not there yet."""
        trust = self.workspace.spec.trust_remote_code
        if runtime == "onnx":
            return add_onnx(self.checkpoint, trust_remote_code=trust)
        if runtime == "onnx-int8":
            metric, train = find_metric(self.workspace.task.metric), self.rows("train")
            return add_int8(
                self.checkpoint,
                self.rows("valid"),
                metric,
                calibration=train,
                trust_remote_code=trust,
                callers=self.callers,
                between=self.between,
            ).folder
        return self.checkpoint

    def open(self, runtime: str, threads: int) -> Runtime:
        """The checkpoint in a runtime."""
        return opened(self.make(runtime), runtime, threads, self.workspace)

    def score(self, runtime: Runtime, split: str, name: str) -> tuple[float, str]:
        """The score of ``valid`` or ``test`` in a runtime, and the file of its predictions, called ``name``."""
        rows = self.rows(split)
        logits = runtime.logits(rows, callers=self.callers, between=self.between)
        return self.keep(logits, rows.labels.numpy(), name)

    def score_checkpoint(self, split: str) -> tuple[float, str]:
        """As ``score``, of the float checkpoint as transformers loads it."""
        rows = self.rows(split)
        return self.keep(reloaded_logits(self.checkpoint, rows), rows.labels.numpy(), split)

    def keep(self, logits: np.ndarray, labels: np.ndarray, name: str) -> tuple[float, str]:
        """The score of predictions, and the file in which they are kept."""
        score = find_metric(self.workspace.task.metric).score(logits, labels)
        return score, save_predictions(self.folder / "predictions", name, logits, labels)

    def size_bytes(self, runtime: str) -> float:
        """The size of the folder that a runtime reads."""
        return float(folder_bytes(runtime_folder(self.checkpoint, runtime)))


def read_trained(folder: Path) -> dict[str, Any] | None:
    """What a trial wrote down when it had trained, None where it has not. Its paths lie in ``folder``."""
    path = folder / TRAINED
    return located(json.loads(path.read_text()), folder, JOB_FILES) if path.is_file() else None


def usable_tokenizer(folder: Path, trained: Mapping[str, Any], workspace: Workspace) -> str:
    """The tokenizer that a trial's student shares with others, or the one beside its checkpoint where that is gone.

    Empty where it has none.
    """
    usual = tokenizer_folder(trained["tokenizer"], workspace.spec.assets)
    return usual if not usual or Path(usual).is_dir() else str(folder / "checkpoint")


def opened(folder: Path, runtime: str, threads: int, workspace: Workspace) -> Runtime:
    """A folder of any form in a runtime; a graph network on the task's graph."""
    found = open_runtime(runtime, folder, threads=threads, trust_remote_code=workspace.spec.trust_remote_code)
    return found.on(node_graph(graph_of(workspace.task))) if isinstance(found, GraphRuntime) else found


def usable(runtime: str) -> str:
    """The runtime, or torch where its packages are missing."""
    return runtime if runtime in available_runtimes() else "torch"


def shipped_runtime(form: str, spec: LatencySpec) -> str:
    """The runtime in which a pipeline of this form is timed: int8 has but one, float models run in the study's.

    Where that is int8's, a float model is timed in onnx: what is timed must be what was scored.
    """
    if form == "onnx-int8":
        return usable("onnx-int8")
    return usable("onnx" if spec.runtime == "onnx-int8" else spec.runtime)
