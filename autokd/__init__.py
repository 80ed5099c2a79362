"""AutoML for model compression: search whole compression pipelines, get the best small models on the frontier.

``autokd.search(...)`` runs a study and returns it; ``autokd.Distiller(pipeline).fit(task)`` runs one pipeline.
Importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.core.settings import DataSource as DataSource
    from autokd.core.task import Task as Task
    from autokd.distiller import Distiller as Distiller
    from autokd.distiller import Student as Student
    from autokd.study.study import Study as Study
    from autokd.study.study import resume as resume
    from autokd.study.study import search as search
    from autokd.tasks.load import load_task as load_task

__version__ = "0.1.0"
__all__ = ["DataSource", "Distiller", "Student", "Study", "Task", "load_task", "resume", "search"]

_HOMES = {
    "DataSource": "autokd.core.settings",
    "Distiller": "autokd.distiller",
    "Student": "autokd.distiller",
    "Study": "autokd.study.study",
    "Task": "autokd.core.task",
    "load_task": "autokd.tasks.load",
    "resume": "autokd.study.study",
    "search": "autokd.study.study",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'autokd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
