"""A study's teacher as a checkpoint that runtimes can open, to be timed beside its students."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from autokd.contracts import Slot
from autokd.models.folders import atomic_folder
from autokd.models.graph_checkpoint import save_checkpoint
from autokd.models.remote import is_trusted
from autokd.models.slots import ENCODER, GRAPH, build
from autokd.runner.workspace import Workspace


def teacher_checkpoint(workspace: Workspace, teacher: Slot) -> Path:
    """The folder of the teacher's checkpoint in the cache, named by its content; made where it is not there yet."""
    folder = Path(workspace.spec.cache) / "teachers" / teacher.content / "checkpoint"
    if not (folder / "config.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if teacher.builder in (ENCODER, GRAPH):
            save_checkpoint(teacher, folder, workspace.task.label_names, workspace.task.problem)
        else:
            _save_foreign(teacher, folder)
    return folder


def _save_foreign(teacher: Slot, folder: Path) -> None:
    """As transformers itself saves it, for networks of its own."""
    network = build(teacher)
    with atomic_folder(folder) as work:
        network.get_submodule("model").save_pretrained(work)  # type: ignore[operator]
        trusted = is_trusted()
        tokenizer = AutoTokenizer.from_pretrained(teacher.tokenizer, local_files_only=True, trust_remote_code=trusted)
        tokenizer.save_pretrained(work)
